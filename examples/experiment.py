"""What the experiments share: their arguments, seeds, table and JSON file."""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
import keras
import numpy as np

import keras_hebbian as kh

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "results"

Split = tuple[np.ndarray, np.ndarray]
# Name, accuracy and history of each model.
Rows = Iterator[tuple[str, float, dict[str, list[float]]]]
# Takes train and test images and whether to be quick.
Experiment = Callable[[Split, Split, bool], Rows]


def main(
    experiment: Experiment,
    description: str,
    data: str,
    reported: dict[str, float],
    arguments: list[str] | None = None,
) -> None:
    """Runs an experiment for each seed, prints a table and writes JSON.

    Args:
        experiment: What to run.
        description: Docstring of the script.
        data: Default data set.
        reported: Accuracies found elsewhere, by where they come from.
        arguments: Command line. Defaults to `sys.argv`.
    """
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument(
        "--data",
        default=data,
        help=f"digits, {data}, or the path of an .npz file (default: {data})",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a short run, to see that it works; writes no file by default",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        help="default: docs/results/SCRIPT.json",
    )
    given = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(given)
    train, test = (
        (images.reshape(len(images), -1), labels)
        for images, labels in kh.datasets.load_data(args.data)
    )
    script = pathlib.Path(sys.modules[experiment.__module__].__file__)
    rows, histories = _run(experiment, train, test, args)
    # Paths say where a file lies on one machine only.
    shown = [pathlib.Path(x).name if os.path.exists(x) else x for x in given]
    results = {
        "title": description.split("\n")[0],
        "command": " ".join(["python", f"examples/{script.name}", *shown]),
        "test_images": len(test[0]),
        "date": datetime.date.today().isoformat(),
        "backend": keras.backend.backend(),
        "cpu_cores": joblib.cpu_count(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("keras", "keras-hebbian", "numpy")
        },
        "seeds": args.seeds,
        "rows": rows,
        "reported": reported,
    }
    print(f"\n{table(results)}\n")
    output = args.output
    if output is None and not args.quick:
        output = RESULTS / f"{script.stem}.json"
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(results, indent=2) + "\n")
        figure = kh.plotting.plot_history(histories)
        figure.savefig(output.with_suffix(".png"), dpi=100)
        print(f"Figures: {output}, curves: {output.with_suffix('.png')}")


def _run(
    experiment: Experiment, train: Split, test: Split, args: argparse.Namespace
) -> tuple[dict[str, dict[str, list[float]]], dict[str, Any]]:
    """Accuracies and seconds of all seeds, and the curves of the last one."""
    rows, histories = {}, {}
    for seed in args.seeds:
        keras.utils.set_random_seed(seed)
        start = time.perf_counter()
        for name, accuracy, history in experiment(train, test, args.quick):
            histories[name] = history
            seconds = time.perf_counter() - start
            row = rows.setdefault(name, {"accuracy": [], "seconds": []})
            row["accuracy"].append(round(float(accuracy), 6))
            row["seconds"].append(round(seconds, 1))
            print(f"seed {seed}: {name}: {accuracy:.2%} in {seconds:.0f} s")
            start = time.perf_counter()
    return rows, histories


def fit(
    model: keras.Model,
    loss: str | keras.losses.Loss,
    train: Split,
    test: Split,
    epochs: int,
    rate: float,
    batch_size: int = 100,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, list[float]]:
    """Trains with Adam, whose rate falls to 0; the curves of the training.

    The test images are followed, and nothing is chosen by them.
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

    Nothing moves below the outputs: once through it is enough for all epochs.
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


def predictions(model: keras.Model, test: Split) -> np.ndarray:
    """The class of the largest output for each image."""
    scores = model.predict(test[0], batch_size=1000, verbose=0)
    return scores.argmax(axis=-1)


def accuracy(model: keras.Model, test: Split) -> float:
    """Share of the images whose largest output is the right one."""
    return np.mean(predictions(model, test) == test[1])


def table(results: dict) -> str:
    """The figures of an experiment as a Markdown table."""
    lines = [
        f"| {results['test_images']} test images | accuracy | seconds |",
        "|---|---|---|",
    ]
    for name, row in results["rows"].items():
        accuracy = 100 * np.array(row["accuracy"])
        spread = f" ± {accuracy.std(ddof=1):.2f}" if len(accuracy) > 1 else ""
        seconds = np.median(row["seconds"])
        lines.append(
            f"| {name} | {accuracy.mean():.2f}{spread} % | {seconds:.0f} |"
        )
    for name, accuracy in results["reported"].items():
        lines.append(f"| *{name}* | *{100 * accuracy:.2f} %* | |")
    return "\n".join(lines)
