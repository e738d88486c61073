"""Makes the pages of results and benchmarks from measured figures.

    python examples/results_page.py             # prints them
    python examples/results_page.py --write     # replaces those in docs/

The figures are those that the experiments and benchmarks wrote to
docs/results/, and the text is from their docstrings. Takes a few seconds.
"""

import argparse
import ast
import json
import pathlib
import statistics
import sys

from matplotlib.axes import Axes
from matplotlib.figure import Figure

import experiment

sys.path.insert(0, str(experiment.ROOT / "tests" / "benchmarks"))
import throughput

DOCS = experiment.ROOT / "docs"
BENCHMARKS = DOCS / "results" / "benchmarks"
ORDER = (  # of the experiments; all others come after these
    "mnist_readout",
    "mnist_competitive",
    "lateral_inhibition",
    "cifar10_readout",
    "cifar10_deep",
    "cifar10_narrow",
    "mnist_deep",
    "few_labels",
    "few_labels_cifar10",
    "drift",
    "hebbian_mlp",
    "hybrid",
)
HIGHLIGHTS = {  # the column of an experiment, and the rows to compare
    "MNIST, 2000 competing units, readout of the paper": (
        "mnist_readout",
        "accuracy",
        {
            "Hebbian": "competing units",
            "random units": "random units",
            "k-means": None,  # for the order of the columns
            "backpropagation": "backpropagation",
            "published": "Krotov and Hopfield 2019, competing units",
        },
    ),
    "CIFAR-10, three layers of soft competition, the last two read out": (
        "cifar10_deep",
        "accuracy",
        {
            "Hebbian": "SoftHebb, 3 layers, last 2 read out",
            "random units": "random filters, 3 layers, last 2 read out",
            "published": "Journé et al. 2023, SoftHebb",
        },
    ),
    "CIFAR-10, the same three layers, readout of the paper": (
        "cifar10_deep",
        "accuracy",
        {
            "Hebbian": "SoftHebb, 3 layers, the paper's readout",
            "published": "Journé et al. 2023, SoftHebb",
        },
    ),
    "CIFAR-10, one of these layers": (
        "cifar10_deep",
        "accuracy",
        {
            "Hebbian": "SoftHebb, 1 layer",
            "k-means": "k-means of patches, 1600 centres",
        },
    ),
    "CIFAR-10, the same three layers at a quarter of their width": (
        "cifar10_narrow",
        "accuracy",
        {
            "Hebbian": "SoftHebb, 3 layers, last 2 read out",
            "random units": "random filters, 3 layers, last 2 read out",
            "backpropagation": "backpropagation, 15 epochs",
        },
    ),
    "MNIST, 100 competing units, labelled by vote": (
        "mnist_competitive",
        "by cosine",
        {"Hebbian": "100 competing units", "k-means": "100 k-means centres"},
    ),
    "MNIST, 400 units with thresholds, labelled by vote": (
        "lateral_inhibition",
        "by cosine",
        {"Hebbian": "400 units", "k-means": "400 k-means centres"},
    ),
    "MNIST, 10 labels per class, 500 units, linear readout": (
        "few_labels",
        "10 per class",
        {
            "Hebbian": "competing units",
            "random units": "random units",
            "backpropagation": "backpropagation",
        },
    ),
    "CIFAR-10, 10 labels per class, three narrow layers": (
        "few_labels_cifar10",
        "10 per class",
        {
            "Hebbian": "soft competition, deep",
            "random units": "random, deep",
            "backpropagation": "backpropagation, convolution",
        },
    ),
    "MNIST after a slow rotation by 60 degrees, 400 units, old labels": (
        "drift",
        "60",
        {
            "Hebbian": "rotation: units, still learning",
            "k-means": "rotation: k-means centres, constant rate",
            "backpropagation": "rotation: network, frozen",
        },
    ),
    "MNIST, MLP whose first layer is Hebbian": (
        "hebbian_mlp",
        "accuracy",
        {
            "Hebbian": "Hebbian first layer",
            "random units": "random first layer",
            "backpropagation": "perceptron",
        },
    ),
    "CIFAR-10, 2000 competing units, readout": (
        "cifar10_readout",
        "accuracy",
        {
            "Hebbian": "competing units",
            "random units": "random units",
            "backpropagation": "backpropagation",
            "published": "Krotov and Hopfield 2019, competing units",
        },
    ),
}
CHART = "results/speed.png"
GROWTH_CHART = "results/growth.png"
WHEN_TO_USE = "results/when_to_use.png"
COSTS = ("convolution", "guards", "mixed_precision", "visualization")
RESULTS = """\
# Results

The most important figures of this page. Random units and k-means have the same
readout or vote as the Hebbian units. Published results may use another readout
or other data.

{summary}

On MNIST, competing units with the readout of the paper are as accurate as
backpropagation. On CIFAR-10 they are 5 points above random units and 5 points
below backpropagation. There, three convolutional layers of soft competition are
4 points above the same network with random filters, and at a quarter of their
width 6 points below backpropagation. With a vote of the units, competing units
are more accurate than the same number of k-means centres on MNIST, but not on
[all data](guides/choosing.md#what-the-defaults-were-tried-on); units with
thresholds are equal to them within the noise. The rates of the 400 units with
thresholds were chosen on the test images, so their figures are slightly too
high.

All figures are the accuracy on all test images after the last epoch, mean and
standard deviation over the seeds, with the median wall time of a model. Some
rows have fewer seeds than their table: a figure without a deviation is that of
one seed, and the JSON files hold all values. In curves over the epochs,
"validation" is Keras's name for the test images. Below, published results are
in italics. Every number on this page is generated: with `--write`, each
experiment writes its results to `docs/results/`, and `examples/results_page.py`
makes this page from them.

Unless a script says otherwise, `HebbianCompetitive` has the settings of the
paper; see
[competing units](rules/competing.md#defaults-and-the-settings-of-the-paper).
`cifar10_jpeg.npz` holds the images of CIFAR-10 after JPEG compression, which
loses a little of them, and is not distributed: without `--data`, the scripts
download the original images, and the figures will differ a little. Figures from
before 28 November 2026 name version 0.1.0, as the development copy did.
"""
SPEED = """\
# Benchmarks

How many samples per second `fit` learns from, compared with the notebook's loop
in NumPy (float64), on {cores} CPU cores:

![Speed of each backend relative to NumPy]({chart})

{lines}

Bars: `compile()` without arguments. Lines across them: with
`steps_per_execution` of 10 or 100 on TensorFlow and JAX; on torch both run
single steps.

The cost grows with the product of inputs, units and samples. Dashed: the bare
product of a batch with the weights, the least that a step must do. On the
right, 100 units learn in batches of 250 from arrays of different lengths, which
are mapped to memory from a file; in a short epoch, start-up dominates.

![Time by the size of a step, and by the number of samples]({growth})

The guide on [performance](guides/performance.md) has tuning advice. Compare
ratios rather than absolute times, which depend on the machine. As in
[Results](results.md), each program writes its own numbers.
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
    """The seeds, machine, versions and date of a run."""
    seeds = ", ".join(map(str, run["seeds"]))
    versions = ", ".join(
        f"{name} {version}" for name, version in run["versions"].items()
    )
    where = f"{run['backend'] or 'each'} on {run['cpu_cores']} CPU core(s)"
    return f"Seeds {seeds}; {where}; {versions}; {run['date']}."


def position(path: pathlib.Path) -> tuple[int, str]:
    """Where an experiment stands on the page."""
    known = path.stem in ORDER
    return (ORDER.index(path.stem) if known else len(ORDER), path.stem)


def results() -> str:
    """The page of the experiments."""
    scripts: dict[str, dict[str, dict]] = {}
    for path in sorted((DOCS / "results").glob("*.json"), key=position):
        run = read(path)
        if "rows" in run:  # all others are shown elsewhere
            script = run["command"].split()[1]
            scripts.setdefault(script, {})[path.stem] = run
    sections = [
        section(
            list(runs.values()),
            "\n\n".join(map(table_of, runs.values())),
            "\n\n".join(
                f"![{run['figure']}](results/{name}.png)"
                for name, run in runs.items()
                if run["figure"]
            ),
        )
        for runs in scripts.values()
    ]
    return "\n".join([RESULTS.format(summary=summary()), *sections])


def table_of(run: dict) -> str:
    """The figures of an experiment, under the data that it ran on."""
    words = run["command"].split()
    data = words[words.index("--data") + 1].partition(".")[0]
    corner = f"{data}, {run['test_images']} test images"
    return experiment.table(run["rows"], run["reported"], corner)


def summary() -> str:
    """The table of the most important figures."""
    rows: dict[str, dict[str, list[float]]] = {}
    for task, (name, column, compared) in HIGHLIGHTS.items():
        run = read(DOCS / "results" / f"{name}.json")
        values = {
            key: row[column]
            for key, row in run["rows"].items()
            if column in row
        }
        for key, reported in run["reported"].items():
            values[key] = [experiment.by_column(reported).get(column)]
        rows[task] = {head: values.get(row) for head, row in compared.items()}
    return experiment.table(rows, {}, "test accuracy")


def when_to_use() -> Figure:
    """Few labels and drift, where learning without labels pays."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    *few, right = figure.subplots(1, 3)
    for axes, data, name in zip(
        few,
        ("MNIST", "CIFAR-10"),
        ("few_labels", "few_labels_cifar10"),
        strict=True,
    ):
        rows = read(DOCS / "results" / f"{name}.json")["rows"]
        for row, style in (
            ("competing units", "C0-"),
            ("soft competition, convolution", "C1--"),
            ("soft competition, deep", "C1-"),
            ("random, deep", "C2-"),
            ("pixels", "C3-"),
            ("backpropagation", "C4-"),
            ("backpropagation, convolution", "C4--"),
        ):
            _draw_means(axes, row, rows[row], style)
        axes.set_xlabel(f"{data} images that have a label")
        axes.tick_params(axis="x", rotation=30)
    drift = read(DOCS / "results" / "drift.json")["rows"]
    for name, style in (
        ("units, still learning", "C0-"),
        ("units, frozen", "C0:"),
        ("k-means centres, constant rate", "C5-"),
        ("network, frozen", "C4:"),
        ("network, retrained with all labels", "C4-"),
    ):
        row = drift[f"rotation: {name}"]
        rotated = {at: x for at, x in row.items() if at.isdigit()}
        _draw_means(right, name, rotated, style)
    right.set_xlabel("degrees by which MNIST has slowly rotated")
    few[0].set_ylabel("test accuracy")
    for axes in (*few, right):
        axes.grid(alpha=0.3)
    few[0].legend(fontsize="small", loc="lower right")
    right.legend(fontsize="small", loc="lower left")
    return figure


def _draw_means(
    axes: Axes, name: str, row: dict[str, list[float]], style: str
) -> None:
    """The mean over the seeds at each column but the seconds."""
    means = {
        column: statistics.mean(values)
        for column, values in row.items()
        if column != "seconds"
    }
    axes.plot(list(means), list(means.values()), style, marker="o", label=name)


def benchmark(folder: pathlib.Path) -> str:
    """The section of a benchmark, with a column for each backend."""
    runs = [read(path) for path in sorted(folder.glob("*.json"))]
    rows: dict[str, dict] = {}
    for run in runs:
        for name, row in run["rows"].items():
            measured, *others = (x for x in row if x != "seconds")
            rows.setdefault(name, {})[run["backend"]] = row[measured]
            for other in others:
                peer = rows.setdefault(f"{name}: {other}", {})
                peer[run["backend"]] = row[other]
    return section(runs, experiment.table(rows, {}, measured))


def ratio(figure: dict, kind: str, other: dict | None = None) -> float:
    """Samples per second of `fit`, relative to something else."""
    if other is None:
        return throughput.quartiles(figure, "fit", kind)[0]
    return statistics.median(figure["fit"]) / statistics.median(other[kind])


def speedups(figures: list[dict], by: str, *cases: str) -> list[float]:
    """Speedups over NumPy of the cases with these prefixes."""
    return [
        ratio(figure, "float64")
        for figure in figures
        if figure["by"] == by and figure["case"].startswith(cases)
    ]


def span(values: list[float]) -> str:
    """The smallest and the largest."""
    ends = dict.fromkeys(f"{end:.2g}" for end in (min(values), max(values)))
    return " to ".join(ends)


def of_backends(figures: list[dict], *cases: str) -> str:
    """Speedup over NumPy of each backend."""
    return ", ".join(
        f"{span(speedups(figures, by, *cases))} on {label}"
        for by, label in throughput.BACKENDS.items()
    )


def at(settings: str, figures: list[dict]) -> list[dict]:
    """The figures with these settings, and those of peers, which have none."""
    return [each for each in figures if each["settings"] in (settings, None)]


def lines_of(figures: list[dict]) -> str:
    """A summary of the chart and the table, in five lines."""
    figures = at("default", figures)
    found = {(figure["case"], figure["by"]): figure for figure in figures}
    product = [
        1 / ratio(found[case, "jax"], "product")
        for case in ("competing-large", "competing-large-1000")
    ]
    k_means = [
        ratio(found[case, "jax"], "fit", found[case, "scikit-learn"])
        for case in ("competing-small", "competing-large")
    ]
    single = [each for each in figures if each["case"] != "competing-bfloat16"]
    lines = (
        "Speed-up over NumPy for competing units with at least 784 inputs or "
        f"1000 units: {of_backends(single, 'competing', 'growth')}. The loop "
        "computes in float64, `fit` in float32; the table also has the loop "
        "in float32.",
        "Sparse units in batches, compared with the notebook's loop over "
        f"single samples: {of_backends(figures, 'sparse-1', 'sparse-4')}. "
        'With `update="sequential"`, which learns from single samples as the '
        f"loop does: {of_backends(figures, 'sparse-one')}.",
        "With 100 units, Keras's overhead per step dominates. With 784 inputs "
        "and batches of 20 the speed-up is "
        f"{of_backends(figures, 'competing-small')}; with 64 inputs, "
        "including short fits, it is "
        f"{of_backends(figures, 'quickstart', 'samples')}.",
        "On JAX, competing units learn from "
        f"{span(k_means)} times as many samples per second as scikit-learn's "
        "`MiniBatchKMeans.partial_fit`, with 100 and with 2000 units.",
        "With 2000 units, a step on JAX takes "
        f"{span(product)} times as long as the bare product of the batch with "
        "the weights.",
    )
    return "\n".join(f"- {line}" for line in lines)


def chart(figures: list[dict]) -> Figure:
    """Speed relative to NumPy, one bar for each backend."""
    cases = [
        name
        for name in throughput.CASES
        if not name.startswith(throughput.GROWTH) and "one-by-one" not in name
    ]
    bars, lines = (
        {
            (each["case"], each["by"]): ratio(each, "float64")
            for each in at(settings, figures)
        }
        for settings in throughput.SETTINGS
    )
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for place, (by, label) in enumerate(throughput.BACKENDS.items()):
        heights = [row + 0.27 * (place - 1) for row in range(len(cases))]
        axes.barh(
            heights, [bars[name, by] for name in cases], 0.25, label=label
        )
        tuned = [lines[name, by] for name in cases]
        axes.plot(tuned, heights, "|", color="black", markersize=5)
    labels = [
        f"{name}\n{case.inputs} x {case.units}, batch {case.batch_size}"
        for name in cases
        for case in [throughput.CASES[name]]
    ]
    axes.set_yticks(range(len(cases)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, ticks)
    axes.minorticks_off()
    axes.set_xlabel("speed-up over the NumPy loop (float64)")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def growth_chart(figures: list[dict]) -> Figure:
    """Time per multiply-add by the size of a step, time per sample by the
    number of samples; dashed, those of the bare product."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for by, label in throughput.BACKENDS.items():
        sizes, lengths = [], []
        for each in figures:
            case = throughput.CASES[each["case"]]
            if each["by"] != by or not each["case"].startswith(
                throughput.GROWTH
            ):
                continue
            rates = (each["fit"], each["product"])
            times = (1e9 / statistics.median(rate) for rate in rates)
            if case.mapped:
                lengths.append((case.samples, *times))
            else:
                weights = case.inputs * case.units
                points = (time / weights for time in times)
                sizes.append((weights * case.batch_size, *points))
        for axes, points in ((left, sizes), (right, lengths)):
            at, steps, products = zip(*sorted(points), strict=True)
            (line,) = axes.loglog(at, steps, marker="o", label=label)
            axes.loglog(at, products, "--", color=line.get_color(), alpha=0.6)
    left.set_xlabel("multiply-adds of the product of a batch with the weights")
    left.set_ylabel("ns per multiply-add")
    right.set_xlabel("samples in the array")
    right.set_ylabel("ns per sample")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.plot([], [], "--", color="gray", label="the product alone")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def benchmarks() -> str:
    """The page of throughput, the parts of a step, and other costs."""
    run = read(throughput.OUTPUT)
    start = SPEED.format(
        cores=run["cpu_cores"],
        chart=CHART,
        growth=GROWTH_CHART,
        lines=lines_of(run["figures"]),
    )
    table = throughput.table(run["figures"])
    folded = (
        "<details markdown>\n<summary>All cases, the memory and the spread"
        f"</summary>\n\n{table}\n\n</details>"
    )
    sections = (benchmark(BENCHMARKS / name) for name in ("step", *COSTS))
    return "\n".join([start, section([run], folded), *sections])


PAGES = {"results.md": results, "benchmarks.md": benchmarks}


def main() -> None:
    """Prints or writes the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--write", action="store_true", help="replaces the pages and the chart"
    )
    write = parser.parse_args().write
    for name, page in PAGES.items():
        if not write:
            print(page())
            continue
        (DOCS / name).write_text(page())
        print(DOCS / name)
    if write:
        figures = read(throughput.OUTPUT)["figures"]
        drawn = {
            CHART: chart(figures),
            GROWTH_CHART: growth_chart(figures),
            WHEN_TO_USE: when_to_use(),
        }
        for name, figure in drawn.items():
            figure.savefig(DOCS / name, dpi=100)
            print(DOCS / name)


if __name__ == "__main__":
    main()
