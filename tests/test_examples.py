"""Each example, run as a reader would run it, only shorter."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def run(folder, name, *arguments):
    process = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def percentages(line):
    return [float(word[:-1]) for word in line.split() if word.endswith("%")]


def test_quickstart(tmp_path):
    printed = run(tmp_path, "quickstart.py", "--epochs=20", "--units=40")
    assert "converged" in printed
    accuracy, k_means, chance = (
        percentages(line)[0] for line in printed.splitlines() if "%" in line
    )
    assert accuracy > 80
    assert k_means > 80
    assert 10 <= chance < 15
    for name in ("weights.png", "classifier.keras"):
        assert (tmp_path / "quickstart" / name).stat().st_size > 1000


@pytest.fixture
def large_digits(tmp_path, digits, digit_labels):
    """A file of 24 x 24 digits."""
    images = np.kron(digits.reshape(-1, 8, 8), np.ones((3, 3)))
    np.savez(
        tmp_path / "large_digits.npz",
        x_train=images,
        y_train=digit_labels,
        x_test=images[:300],
        y_test=digit_labels[:300],
    )
    return "--data=large_digits.npz"


def rows_of(printed):
    return [line for line in printed.splitlines() if "%" in line]


def test_mnist_competitive(tmp_path, large_digits):
    printed = run(tmp_path, "mnist_competitive.py", large_digits, "--epochs=20")
    assert len(rows_of(printed)) == 3
    # So few steps teach little; every figure beats chance all the same.
    for row in rows_of(printed):
        assert min(percentages(row)) > 15


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["--units=100", "--epochs=10", "--seeds=0"], 2),
        (["--sweep=inhibition", "--epochs=2", "--seeds=0"], 4),
    ],
)
def test_lateral_inhibition(tmp_path, large_digits, arguments, rows):
    printed = run(tmp_path, "lateral_inhibition.py", large_digits, *arguments)
    assert len(rows_of(printed)) == rows
    for row in rows_of(printed):
        assert max(percentages(row.replace("+- ", ""))) > 30
    assert len(list((tmp_path / "weights").glob("*.png"))) in (1, 4)
