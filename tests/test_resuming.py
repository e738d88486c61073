"""A training killed at any epoch and resumed ends as if it never had been."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("interrupted.py")
EPOCHS = 3


def start(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_in_every_epoch_and_resumed(tmp_path):
    """A process is killed in each epoch; the last one ends the training."""
    for epoch in range(EPOCHS):
        killed = start(tmp_path, epoch)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = start(tmp_path, "whole")
    assert last.returncode == 0, last.stderr
    resumed = np.load(tmp_path / "resumed.npz")
    whole = np.load(tmp_path / "whole.npz")
    assert resumed["0_iterations"] == EPOCHS * 5
    assert resumed["1_skipped"] == 0
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name], name)
