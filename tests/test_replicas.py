import pathlib
import subprocess
import sys

import pytest


@pytest.mark.parametrize("kind", ["competing", "sparse"])
@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_equal_one_device_with_the_global_batch(replicas, kind):
    script = pathlib.Path(__file__).with_name("replicated.py")
    process = subprocess.run(
        [sys.executable, script, str(replicas), kind],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert float(process.stdout.split()[-1]) < 1e-9
