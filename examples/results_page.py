"""Writes the pages of results, measurements and speed from measured figures.

    python examples/results_page.py

The figures are those that the experiments and benchmarks left in
docs/results/, the words their docstrings.
"""

import ast
import json
import pathlib
import sys

import experiment

sys.path.insert(0, str(experiment.ROOT / "tests" / "benchmarks"))
import throughput

DOCS = experiment.ROOT / "docs"
BENCHMARKS = DOCS / "results" / "benchmarks"
COSTS = ("guards", "mixed_precision", "visualization")
RESULTS = """\
# Results

Accuracy on all test images after the last epoch, mean and standard deviation
over the seeds, and the median wall time of a model, on a shared machine.
Published results are in italics. Every number on this page is generated: each
experiment writes its results to `docs/results/`, and
`python examples/results_page.py` makes this page from them.

In all experiments `HebbianCompetitive` has the settings of the paper, with the
changes that each script names; see
[competing units](rules/competing.md#defaults-and-the-settings-of-the-paper).
`cifar10_jpeg.npz` holds the images of CIFAR-10 after JPEG compression, which
loses a little of them.
"""
MEASUREMENTS = """\
# Measurements

The cost of precision, checks and pictures, mean and standard deviation over
repeated runs, one for each seed. As in [Results](results.md), each program
writes its own numbers.
"""
SPEED = """\
# Speed

For tuning advice see the guide on [performance](guides/performance.md).
Compare ratios rather than absolute times, which depend on the machine. Where
TensorFlow's slowest and fastest runs differ by a factor of two, both threads
were scheduled on one core: the same CPU time, double the wall time.
"""


def read(path: pathlib.Path) -> dict:
    """The figures of one run."""
    return json.loads(path.read_text())


def section(runs: list[dict], table: str, figure: str = "") -> str:
    """The docstring of the script, its commands and their results."""
    script = experiment.ROOT / runs[0]["command"].split()[1]
    docstring = ast.get_docstring(ast.parse(script.read_text()))
    title, _, *about = docstring.split("\n\n")
    commands = "\n".join(
        f"KERAS_BACKEND={run['backend']} {run['command']}"
        if run["backend"]
        else run["command"]
        for run in runs
    )
    parts = [
        f"## {title.rstrip('.')}",
        *about,
        f"```sh\n{commands}\n```",
        table,
        *map(origin, runs),
    ]
    return "\n\n".join([*parts, figure] if figure else parts) + "\n"


def origin(run: dict) -> str:
    """Where, when and with what a run was."""
    seeds = ", ".join(map(str, run["seeds"]))
    versions = ", ".join(
        f"{name} {version}" for name, version in run["versions"].items()
    )
    where = f"{run['backend'] or 'each'} on {run['cpu_cores']} CPU core(s)"
    return f"Seeds {seeds}; {where}; {versions}; {run['date']}."


def results() -> str:
    """The page of the experiments."""
    sections = [RESULTS]
    for path in sorted((DOCS / "results").glob("*.json")):
        run = read(path)
        if "rows" not in run:
            continue  # shown elsewhere
        table = experiment.table(
            run["rows"], run["reported"], f"{run['test_images']} test images"
        )
        caption = run["figure"]
        figure = caption and f"![{caption}](results/{path.stem}.png)"
        sections.append(section([run], table, figure))
    return "\n".join(sections)


def benchmark(folder: pathlib.Path) -> str:
    """The section of a benchmark, with a column for each backend."""
    runs = [read(path) for path in sorted(folder.glob("*.json"))]
    rows: dict[str, dict] = {}
    for run in runs:
        for name, row in run["rows"].items():
            measured, values = next(iter(row.items()))
            rows.setdefault(name, {})[run["backend"]] = values
    return section(runs, experiment.table(rows, {}, measured))


def measurements() -> str:
    """The page of the benchmarks but for speed."""
    sections = (benchmark(BENCHMARKS / name) for name in COSTS)
    return "\n".join([MEASUREMENTS, *sections])


def speed() -> str:
    """The page of throughput and of the parts of a step."""
    run = read(throughput.OUTPUT)
    figures = section([run], throughput.table(run["figures"]))
    return "\n".join([SPEED, figures, benchmark(BENCHMARKS / "step")])


PAGES = {
    "results.md": results,
    "measurements.md": measurements,
    "performance.md": speed,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
        print(DOCS / name)
