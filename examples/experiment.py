"""What experiments share: training, arguments, seeds, tables and JSON files."""

import argparse
import datetime
import importlib.metadata
import json
import math
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import KMeans

import keras_hebbian as kh

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
QUICK = "These figures of a short run (--quick) are not the results."

Split = tuple[np.ndarray, np.ndarray]
# An accuracy, or several by the names of their columns.
Measured = float | dict[str, float]
# Name of each model, its measurements, and the values to draw.
Rows = Iterator[tuple[str, Measured, Any]]
# Takes train and test images and whether to be quick.
Experiment = Callable[[Split, Split, bool], Rows]


def paper_settings() -> dict[str, Any]:
    """Arguments of `HebbianCompetitive` as Krotov and Hopfield have them."""
    return {
        "p": 3,
        "k": 2,
        "delta": 0.4,
        "learning_rate": 0.02,
        "min_norm": 0,
        "kernel_initializer": keras.initializers.RandomNormal(0.0, 1.0),
    }


def competing_units(units: int, **changed: Any) -> kh.HebbianCompetitive:
    """Units with the settings of the paper, except for those given here."""
    return kh.HebbianCompetitive(units, **{**paper_settings(), **changed})


def sparse_units(units: int, **changed: Any) -> kh.LateralInhibitionSparse:
    """Units with the settings of the SparseDream notebook, but those given."""
    return kh.LateralInhibitionSparse(
        units,
        **{
            "sparsity": 0.01,
            "learning_rate": 0.01,
            "threshold_rate": 1.0,
            "inhibition_rate": 5e-4,
            "norm": None,
            "kernel_initializer": keras.initializers.RandomUniform(0.1, 1.0),
            **changed,
        },
    )


def curves(histories: dict[str, dict[str, list[float]]]) -> Figure:
    """Accuracy and loss over the epochs"""
    return kh.plotting.plot_history(histories)


def weights(kernels: dict[str, np.ndarray]) -> Figure:
    """Learned weights of the first row"""
    return kh.plotting.plot_weights(next(iter(kernels.values())))


def parser_of(
    description: str, name: str, epilog: str = ""
) -> argparse.ArgumentParser:
    """The arguments that all scripts with results have."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a short run to check that it works. Its figures are not the "
        "results, and by default are not written to a file",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"writes to docs/results/{name}, which the pages show",
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help=f"default: results/{name}"
    )
    return parser


def add_sources(parser: argparse.ArgumentParser) -> None:
    """The arguments of scripts that compare datasets."""
    for name, source in (("mnist", "mnist"), ("cifar", "cifar10")):
        parser.add_argument(
            f"--{name}",
            default=source,
            help=f"{source}, or the path of an .npz file (default: {source})",
        )


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """The argument that `seeds_of` reads."""
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help="default: 0 1 2; 0 with --quick",
    )


def seeds_of(args: argparse.Namespace) -> list[int]:
    """Those of the command line, or the defaults."""
    return args.seeds or ([0] if args.quick else [0, 1, 2])


def file_of(args: argparse.Namespace, name: str) -> pathlib.Path | None:
    """Where the figures go: nowhere for a short run, unless it is named."""
    if args.output is not None or (args.quick and not args.write):
        return args.output
    return (RESULTS if args.write else pathlib.Path("results")) / name


def _duration(path: pathlib.Path) -> str:
    """How long the results of the documentation took, if they say so."""
    results = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    times = [row.get("seconds") for row in results["rows"].values()]
    if not times or None in times:
        return "--quick takes less than a minute."
    minutes = max(1, round(sum(map(np.median, times)) / 60))
    return (
        f"One seed takes about {minutes} min on {results['cpu_cores']} CPU "
        "core(s), --quick less than a minute."
    )


def main(
    experiment: Experiment,
    description: str,
    data: str,
    reported: dict[str, Measured],
    draw: Callable[[dict[str, Any]], Figure] | None = curves,
    arguments: list[str] | None = None,
    flat: bool = True,
) -> None:
    """Runs an experiment for each seed, prints a table and writes JSON.

    Args:
        experiment: What to run.
        description: Docstring of the script.
        data: Default dataset.
        reported: Published accuracies, by source.
        draw: Draws what the experiment yielded last under each name, if
            anything. Its docstring is the caption.
        arguments: Command line. Defaults to `sys.argv`.
        flat: Whether the experiment takes images as vectors.
    """
    script = pathlib.Path(sys.modules[experiment.__module__].__file__).resolve()
    name = f"{script.stem}.json"
    if script.parent.name == "benchmarks":  # which compare the backends
        name = f"benchmarks/{script.stem}/{keras.backend.backend()}.json"
    parser = _parser_of_experiment(description, name, data)
    args = parser.parse_args(arguments)
    output = None
    if args.output or not args.validation:
        output = file_of(args, name)
    if output is not None and output.suffix != ".json":
        parser.error(f"--output: expected a .json file. Received: {output}")
    train, test = _splits(args, flat)
    results = {
        "test_images": len(test[0]),
        **environment("numpy"),
        "seeds": [],
        "rows": {},
        "reported": reported,
        "figure": draw and draw.__doc__,
    }
    if args.resume and output is not None and output.exists():
        known = json.loads(output.read_text())
        measured = known.get("backend"), known.get("command")
        command = _command(script, args, known.get("seeds", []))
        expected = results["backend"], command
        if measured != expected:
            parser.error(
                f"--resume: expected {output} to hold figures of {expected}. "
                f"Received: {measured}"
            )
        results = known
    for seed in seeds_of(args):
        if seed in results["seeds"]:
            continue
        drawn = _run(experiment, train, test, seed, args.quick, results["rows"])
        results["seeds"].append(seed)
        results["command"] = _command(script, args, results["seeds"])
        if output is not None:
            write(results, output)
            if draw is not None:
                draw(drawn).savefig(output.with_suffix(".png"), dpi=100)
    count = f"{len(test[0])} test images"
    print(f"\n{table(results['rows'], reported, count)}\n")
    if args.quick:
        print(QUICK)
    if output is not None:
        print(f"Figures: {output}")
        if draw is not None:
            print(f"{draw.__doc__}: {output.with_suffix('.png')}")


def environment(*packages: str) -> dict[str, Any]:
    """The date, backend, machine and versions of a run."""
    backend = keras.backend.backend()
    return {
        "date": datetime.date.today().isoformat(),
        "backend": backend,
        "cpu_cores": joblib.cpu_count(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("keras", "keras-hebbian", *packages, backend)
        },
    }


def write(results: dict[str, Any], output: pathlib.Path) -> None:
    """Writes figures as JSON."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=2) + "\n")


def _parser_of_experiment(
    description: str, name: str, data: str
) -> argparse.ArgumentParser:
    parser = parser_of(description, name, _duration(RESULTS / name))
    parser.add_argument(
        "--data",
        default=data,
        help=f"digits, {data}, or the path of an .npz file (default: {data})",
    )
    add_seeds(parser)
    parser.add_argument(
        "--validation",
        action="store_true",
        help="tests on the last tenth of the training images, to choose "
        "arguments; writes no file by default",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keeps the seeds that the output already holds, and adds others",
    )
    return parser


def _splits(args: argparse.Namespace, flat: bool) -> tuple[Split, Split]:
    """The images to learn from and those to test on."""
    train, test = kh.datasets.load_data(args.data)
    if args.validation:
        last = len(train[0]) // 10
        train, test = (
            tuple(array[part] for array in train)
            for part in (slice(-last), slice(-last, None))
        )
    if flat:
        train, test = (
            (images.reshape(len(images), -1), labels)
            for images, labels in (train, test)
        )
    return train, test


def _command(
    script: pathlib.Path, args: argparse.Namespace, seeds: list[int]
) -> str:
    """What measures all of this, on a machine where the data lies elsewhere."""
    flags = [f"--{x}" for x in ("quick", "validation") if getattr(args, x)]
    data = pathlib.Path(args.data).name
    words = ["python", script.relative_to(ROOT), "--data", data, *flags]
    return " ".join(map(str, [*words, "--seeds", *seeds]))


def _run(
    experiment: Experiment,
    train: Split,
    test: Split,
    seed: int,
    quick: bool,
    rows: dict[str, dict[str, list[float]]],
) -> dict[str, Any]:
    """Adds the accuracies and seconds of a seed; what it yielded to draw."""
    keras.utils.set_random_seed(seed)
    drawn = {}
    start = time.perf_counter()
    for name, measured, drawn[name] in experiment(train, test, quick):
        seconds = time.perf_counter() - start
        row = rows.setdefault(name, {})
        for column, value in by_column(measured).items():
            row.setdefault(column, []).append(round(float(value), 6))
            print(f"seed {seed}: {name}: {column} {value:.2%}", flush=True)
        row.setdefault("seconds", []).append(round(seconds, 1))
        start = time.perf_counter()
    return drawn


def fit(
    model: keras.Model,
    loss: str | keras.losses.Loss,
    train: Split,
    test: Split | None,
    epochs: int,
    rate: float,
    batch_size: int = 100,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, list[float]]:
    """Trains with Adam, whose rate falls to 0; the curves of the training.

    The test images, if given, are only evaluated; nothing is chosen by them.
    """
    steps = epochs * math.ceil(len(train[0]) / batch_size)
    on_torch = keras.backend.backend() == "torch"  # which runs single steps
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(rate, steps)
        ),
        loss=loss,
        metrics=["accuracy"],
        steps_per_execution=1 if on_torch else 20,
    )
    history = model.fit(
        *train,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=test,
        validation_batch_size=1000,
        callbacks=list(callbacks),
        verbose=2,
    )
    return history.history


def learn(
    layer: kh.LocalLearningLayer,
    images: np.ndarray,
    epochs: int,
    batch_size: int = 100,
    verbose: str | int = "auto",
) -> kh.HebbianSequential:
    """A model of one layer that learned from flat images, without labels."""
    model = kh.HebbianSequential([keras.Input(images.shape[1:]), layer])
    model.compile()
    model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=verbose,
    )
    return model


def winner_model(kernel: np.ndarray, train: Split) -> keras.Model:
    """A classifier by the winner among the columns of a kernel."""
    units = keras.Sequential(
        [
            keras.Input(kernel.shape[:1]),
            keras.layers.Dense(kernel.shape[1], use_bias=False),
        ]
    )
    units.set_weights([kernel])
    classifier = kh.WinnerClassifier(10)
    classifier.adapt(units.predict(train[0], verbose=0), train[1])
    return keras.Sequential([*units.layers, classifier])


def unit_norm(kernel: np.ndarray) -> np.ndarray:
    """The kernel whose dot products order the units by cosine."""
    return kernel / np.maximum(np.linalg.norm(kernel, axis=0), 1e-30)


def k_means(images: np.ndarray, units: int) -> np.ndarray:
    """The same number of k-means centres, as a kernel."""
    return KMeans(units, n_init=1).fit(images).cluster_centers_.T


def ten_outputs(activation: str) -> keras.layers.Dense:
    """One output for each class, none of which starts saturated."""
    return keras.layers.Dense(10, activation, kernel_initializer="zeros")


def read_out(
    features: keras.Sequential,
    activation: str,
    loss: str | keras.losses.Loss,
    train: Split,
    test: Split,
    epochs: int,
    rate: float,
) -> tuple[float, dict[str, list[float]]]:
    """Accuracy and curves of ten outputs on top of frozen features.

    The layers below are frozen, so their outputs are computed only once.
    """
    inputs = keras.Input(features.output_shape[1:])
    outputs = keras.Sequential([inputs, ten_outputs(activation)])
    seen = (
        (features.predict(images, batch_size=1000, verbose=0), labels)
        for images, labels in (train, test)
    )
    history = fit(outputs, loss, *seen, epochs, rate)
    model = keras.Sequential([*features.layers, *outputs.layers])
    return accuracy(model, test), history


def predictions(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The class of the largest output for each image."""
    scores = model.predict(images, batch_size=1000, verbose=0)
    return scores.argmax(axis=-1)


def voted(classifier: kh.WinnerClassifier, drives: np.ndarray) -> np.ndarray:
    """The class that the winner of each sample votes for."""
    scores = keras.ops.convert_to_numpy(classifier(drives))
    return scores.argmax(axis=-1)


def accuracy(model: keras.Model, test: Split) -> float:
    """Share of the images whose largest output is the right one."""
    return np.mean(predictions(model, test[0]) == test[1])


def by_column(measured: Measured) -> dict[str, float]:
    """What was measured, by the names of the columns."""
    return measured if isinstance(measured, dict) else {"accuracy": measured}


def table(
    rows: dict[str, dict[str, list[float]]],
    reported: dict[str, Measured],
    corner: str = "",
) -> str:
    """The figures of an experiment as a Markdown table."""
    columns = list(
        dict.fromkeys(column for row in rows.values() for column in row)
    )
    lines = [
        [name, *(_cell(column, row.get(column)) for column in columns)]
        for name, row in rows.items()
    ]
    for name, measured in reported.items():
        shares = map(by_column(measured).get, columns)
        cells = (f"*{100 * x:.4g} %*" if x else "" for x in shares)
        lines.append([f"*{name}*", *cells])
    lines = [[corner, *columns], ["---"] * (1 + len(columns)), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(column: str, values: list[float] | None) -> str:
    """Median of seconds; mean and standard deviation of all else.

    A row that shares the work of the one above takes no time of its own.
    """
    if values is None:
        return ""
    if column == "seconds":
        seconds = np.median(values)
        return f"{seconds:.0f}" if seconds >= 0.5 else ""
    percent = 100 * np.array(values)
    spread = f" ± {percent.std(ddof=1):.2f}" if len(percent) > 1 else ""
    return f"{percent.mean():.2f}{spread} %"
