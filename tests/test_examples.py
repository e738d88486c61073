"""Each example, run as a reader would run it, only shorter."""

import json
import pathlib
import re
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
    for name in ("weights.png", "classifier.keras", "weights/weights.gif"):
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


def test_gallery(tmp_path, large_digits):
    run(tmp_path, "gallery.py", large_digits, "--epochs=2")
    drawn = {path.name for path in (tmp_path / "gallery").iterdir()}
    images = EXAMPLES.parent / "docs" / "images"
    page = (EXAMPLES.parent / "docs" / "gallery.md").read_text()
    shown = set(re.findall(r"images/(\w+\.\w+)", page))
    assert shown <= drawn <= {path.name for path in images.iterdir()}


@pytest.mark.parametrize(
    ("script", "models"),
    [
        ("mnist_readout.py", 3),
        ("cifar10_readout.py", 4),
        ("hebbian_mlp.py", 3),
        ("hybrid.py", 3),
    ],
)
def test_experiments(tmp_path, large_digits, script, models):
    printed = run(
        tmp_path,
        script,
        large_digits,
        "--quick",
        "--seeds=3",
        "--output=figures.json",
    )
    results = json.loads((tmp_path / "figures.json").read_text())
    assert results["command"].startswith(f"python examples/{script} --data")
    assert results["seeds"] == [3]
    assert len(results["rows"]) == models
    table = [line for line in printed.splitlines() if line.startswith("| ")]
    assert len(table) == 1 + models + len(results["reported"])
    for name, row in results["rows"].items():
        (line,) = (line for line in table if line.startswith(f"| {name} |"))
        assert f"{100 * row['accuracy'][0]:.2f} %" in line
    assert (tmp_path / "figures.png").stat().st_size > 1000


def test_the_results_page_shows_the_figures_of_the_experiments(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import results_page

    assert results_page.PAGE.read_text() == results_page.page()
