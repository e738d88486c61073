"""A training run killed at any epoch and resumed ends as if uninterrupted."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("interrupted.py")
EPOCHS = 3
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL"),
]


def start(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def check(folder, kills, *layer):
    """The last process finishes the training run that the others began."""
    for kill in kills:
        killed = start(folder, *kill)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = start(folder, "whole", *layer)
    assert last.returncode == 0, last.stderr
    resumed = np.load(folder / "resumed.npz")
    whole = np.load(folder / "whole.npz")
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name], name)
    assert resumed["0_iterations"] == EPOCHS * 5
    assert resumed["1_skipped"] == 0


def test_killed_in_the_first_and_the_last_epoch_and_resumed(tmp_path):
    check(tmp_path, [(0,), (EPOCHS - 1,)])


def test_killed_between_and_inside_layers_and_resumed(tmp_path):
    """After the last epoch of the first layer, in the second of the third."""
    check(tmp_path, [(EPOCHS, 0), (1, 2)], 0)
