import os
import pathlib
import subprocess
import sys

import keras
import pytest

HERE = pathlib.Path(__file__).parent
BACKEND = keras.backend.backend()


def run(*command, **environment):
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def difference(script, *arguments):
    """The largest difference of a weight that a script prints."""
    process = run(HERE / script, *arguments)
    assert process.returncode == 0, process.stderr
    return float(process.stdout.split()[-1])


KINDS = ["competing", "started", "sparse", "convolution", "oja", "pca", "map"]


# All kinds in one process, which takes longer to start than to learn.
@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "kinds"), [(2, KINDS), (4, ["sparse"])])
def test_replicas_equal_one_device_with_the_global_batch(replicas, kinds):
    process = run(HERE / "replicated.py", str(replicas), *kinds)
    assert process.returncode == 0, process.stderr
    lines = (
        line.split() for line in process.stdout.splitlines()[-len(kinds) :]
    )
    differences = {kind: float(difference) for kind, difference in lines}
    assert list(differences) == kinds
    assert max(differences.values()) < 1e-9, differences


@pytest.mark.slow
def test_two_workers_equal_one_device_with_the_global_batch():
    assert difference("replicated_trainer.py", "workers") < 1e-9


@pytest.mark.skipif(BACKEND != "jax", reason="Keras shards layers on JAX")
def test_units_spread_over_devices_learn_the_same():
    assert difference("replicated_trainer.py", "units") < 1e-9


UNEVEN = """
import keras, numpy as np, keras_hebbian as kh
keras.distribution.set_distribution(keras.distribution.DataParallel())
model = kh.HebbianSequential([keras.Input((6,)), kh.HebbianCompetitive(4)])
model.compile()
model.fit(np.ones((10, 6)), batch_size=10, verbose=0)
"""


@pytest.mark.skipif(BACKEND != "jax", reason="others split it unevenly")
def test_a_batch_that_jax_cannot_split_evenly_is_refused():
    flags = "--xla_force_host_platform_device_count=4"
    process = run("-c", UNEVEN, XLA_FLAGS=flags)
    assert process.returncode != 0
    assert "should evenly divide the shape" in process.stderr
