"""Writes docs/results.md and docs/measurements.md from measured figures.

    python examples/results_page.py

The figures are those that the experiments and benchmarks left in
docs/results/, the words their docstrings.
"""

import ast
import json
import pathlib

import experiment

DOCS = experiment.ROOT / "docs"
RESULTS = """\
# Results

Accuracy on all test images after the last epoch, mean and standard deviation
over the seeds, and the median of the time that a model took, on a machine that
did other work as well. In italics what others report. No figure on this page is
written by hand: each experiment writes its own to `docs/results/`, and
`python examples/results_page.py` makes this page of them.

`cifar10_jpeg.npz` holds the images of CIFAR-10 after a JPEG compression, which
loses a little of them.
"""
MEASUREMENTS = """\
# Measurements

What precision, checks and pictures cost, mean and standard deviation over
repeated runs, one for each seed. As in [Results](results.md), each program
writes its own figures.
"""


def read(path: pathlib.Path) -> dict:
    """The figures of one run."""
    return json.loads(path.read_text())


def section(runs: list[dict], table: str, figure: str = "") -> str:
    """What the script says of itself, its commands, and what they found."""
    script = experiment.ROOT / runs[0]["command"].split()[1]
    docstring = ast.get_docstring(ast.parse(script.read_text()))
    title, _, *about = docstring.split("\n\n")
    commands = "\n".join(
        f"KERAS_BACKEND={run['backend']} {run['command']}" for run in runs
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
    return (
        f"Seeds {seeds}; {run['backend']} on {run['cpu_cores']} CPU core(s); "
        f"{versions}; {run['date']}."
    )


def results() -> str:
    """The page of the experiments."""
    sections = [RESULTS]
    for path in sorted((DOCS / "results").glob("*.json")):
        run = read(path)
        table = experiment.table(
            run["rows"], run["reported"], f"{run['test_images']} test images"
        )
        caption = run.get("figure", experiment.curves.__doc__)
        figure = caption and f"![{caption}](results/{path.stem}.png)"
        sections.append(section([run], table, figure))
    return "\n".join(sections)


def measurements() -> str:
    """The page of the benchmarks, a column for each backend."""
    folder = DOCS / "results" / "benchmarks"
    sections = [MEASUREMENTS]
    for benchmark in sorted(path for path in folder.iterdir() if path.is_dir()):
        runs = [read(path) for path in sorted(benchmark.glob("*.json"))]
        rows: dict[str, dict] = {}
        for run in runs:
            for name, row in run["rows"].items():
                measured, values = next(iter(row.items()))
                rows.setdefault(name, {})[run["backend"]] = values
        sections.append(section(runs, experiment.table(rows, {}, measured)))
    sections.append((folder / "speed.md").read_text())
    return "\n".join(sections)


PAGES = {"results.md": results, "measurements.md": measurements}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
        print(DOCS / name)
