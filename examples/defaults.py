r"""Default arguments on many datasets, compared with k-means.

    python examples/defaults.py --mnist mnist.npz --cifar cifar10_jpeg.npz

Trains 100 units of `HebbianCompetitive` and of `LateralInhibitionSparse` with
all default arguments and `LinearRateDecay` on image sets, photographs, tabular
data and synthetic clusters, labels each unit by vote, and compares the winners
on test data with those of k-means with 100 centres. The defaults were chosen
on validation splits of the training data of these sets. Takes about 25 minutes
on two cores for three seeds.
"""

import json
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.model_selection import train_test_split

import experiment
import keras_hebbian as kh

NAME = "defaults.json"
UNITS = 100
SAMPLES = 10_000  # of a training set, at most

Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def smaller(images: np.ndarray, size: int) -> np.ndarray:
    """Grey images reduced to `size` x `size` pixels by linear interpolation."""
    resized = keras.ops.image.resize(
        images[..., None], (size, size), antialias=True
    )
    return keras.ops.convert_to_numpy(resized)[..., 0]


def image_sets(mnist: str, cifar: str) -> Iterator[tuple[str, Data]]:
    """Digits and CIFAR-10, unchanged and modified as other sets may be."""

    def load(source: str, samples: int) -> Data:
        (x, y), (x_test, y_test) = kh.datasets.load_data(source)
        return x[:samples], x_test[:5000], y[:samples], y_test[:5000]

    x, x_test, *labels = load("digits", SAMPLES)
    yield "digits 8x8", (x, x_test, *labels)
    yield "digits 8x8, minus 0.1", (x - 0.1, x_test - 0.1, *labels)
    x, x_test, *labels = load(mnist, SAMPLES)
    yield "MNIST", (x, x_test, *labels)
    small, small_test = smaller(x[:7000], 16), smaller(x_test, 16)
    labels_of_small = (labels[0][:7000], labels[1])
    yield "MNIST 16x16", (small, small_test, *labels_of_small)
    yield "MNIST inverted", (1 - x, 1 - x_test, *labels)
    bright = [0.3 + 0.6 * images for images in (small, small_test)]
    yield "MNIST 16x16, grey ground", (*bright, *labels_of_small)
    mean, spread = small.mean(), small.std()  # over all pixels
    scaled = [(images - mean) / spread for images in (small, small_test)]
    yield "MNIST 16x16, standardized", (*scaled, *labels_of_small)
    x, x_test, *labels = load(cifar, 5000)
    yield "CIFAR-10", (x, x_test, *labels)
    grey = [smaller(images.mean(axis=-1), 16) for images in (x, x_test)]
    yield "CIFAR-10 grey 16x16", (*grey, *labels)
    mean = x.mean(axis=0)
    yield "CIFAR-10 centred", (x - mean, x_test - mean, *labels)


def patches(size: int = 8, count: int = 5000) -> Data:
    """Patches of scikit-learn's two photographs, labelled by photograph."""
    rng = np.random.default_rng(0)
    found, labels = [], []
    for label, photo in enumerate(datasets.load_sample_images().images):
        photo = photo.mean(axis=-1) / 255
        places = rng.integers(0, np.array(photo.shape) - size, (count, 2))
        found += [photo[i : i + size, j : j + size] for i, j in places]
        labels += [label] * count
    return train_test_split(
        np.array(found, "float32"), np.array(labels), random_state=0
    )


def tabular_sets() -> Iterator[tuple[str, Data]]:
    """Photographs, tables and clusters, without and with negative values."""
    x, x_test, *labels = patches()
    yield "photo patches", (x, x_test, *labels)
    means = [images.mean(axis=(1, 2), keepdims=True) for images in (x, x_test)]
    yield (
        "photo patches centred",
        (x - means[0], x_test - means[1], *labels),
    )
    tables = {
        "breast cancer": datasets.load_breast_cancer(return_X_y=True),
        "clusters": datasets.make_blobs(5000, 50, centers=40, random_state=0),
    }
    for name, (x, y) in tables.items():
        x, x_test, *labels = train_test_split(
            x.astype("float32"), y % 10, random_state=0
        )
        low, high = x.min(axis=0), x.max(axis=0)
        to_one = [np.clip((x - low) / (high - low), 0, 1) for x in (x, x_test)]
        yield f"{name}, 0 to 1", (*to_one, *labels)
        standard = [(each - x.mean(0)) / x.std(0) for each in (x, x_test)]
        yield f"{name}, standardized", (*standard, *labels)


def winners_accuracy(
    winners: np.ndarray,
    labels: np.ndarray,
    drives: np.ndarray,
    test_labels: np.ndarray,
) -> float:
    """Accuracy of winners whose units have the class they win most often."""
    votes = np.zeros((UNITS, labels.max() + 1))
    np.add.at(votes, (winners, labels), 1)
    drives = np.where(votes.any(axis=1), drives, -np.inf)
    found = votes.argmax(axis=1)[drives.argmax(axis=1)]
    return float(np.mean(found == test_labels))


def measure(
    kind: type[kh.LocalLearningLayer],
    data: Data,
    batch_size: int,
    epochs: int,
    seed: int,
) -> dict[str, float]:
    """Accuracy and dead units of a layer with its default arguments."""
    x, x_test, y, y_test = data
    keras.utils.set_random_seed(seed)
    layer = kind(UNITS)
    model = kh.HebbianSequential([keras.Input(x.shape[1:]), layer])
    model.compile()
    model.fit(
        x,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    drives, test_drives = (
        keras.ops.convert_to_numpy(
            layer.competition(keras.ops.convert_to_tensor(each))
        )
        for each in (x, x_test)
    )
    winners = drives.argmax(axis=1)
    return {
        "accuracy": winners_accuracy(winners, y, test_drives, y_test),
        "dead": 1 - len(np.unique(winners)) / UNITS,
    }


def k_means(data: Data, seed: int) -> dict[str, float]:
    """Accuracy of the nearest centre, labelled by vote like the units."""
    x, x_test, y, y_test = data
    found = KMeans(UNITS, n_init=3, random_state=seed).fit(x)
    drives = -found.transform(x_test)
    return {"accuracy": winners_accuracy(found.labels_, y, drives, y_test)}


def table(results: dict[str, Any]) -> str:
    """The mean accuracies and the shares of dead units as Markdown."""
    columns = list(next(iter(results["sets"].values())))
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    for name, row in results["sets"].items():
        cells = [name]
        for measured in row.values():
            cell = "negative inputs"
            if measured:
                cell = f"{100 * np.mean(measured['accuracy']):.1f} %"
                if len(measured["accuracy"]) > 1:
                    spread = np.std(measured["accuracy"], ddof=1)
                    cell = f"{cell[:-2]} ± {100 * spread:.1f} %"
            if "dead" in measured:
                cell += f", {np.mean(measured['dead']):.0%} dead"
            cells.append(cell)
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Runs the study, with the arguments of the command line."""
    parser = experiment.parser_of(__doc__, NAME)
    experiment.add_sources(parser)
    experiment.add_seeds(parser)
    parser.add_argument(
        "--batch-size", type=int, default=32, help="default: %(default)s"
    )
    parser.add_argument(
        "--epochs", type=int, help="default: 20; 2 with --quick"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keeps the sets that the output already holds, and adds others",
    )
    args = parser.parse_args(arguments)
    args.seeds = experiment.seeds_of(args)
    args.epochs = args.epochs or (2 if args.quick else 20)
    names = (pathlib.Path(each).name for each in (args.mnist, args.cifar))
    results = {
        "command": "python examples/defaults.py --mnist {} --cifar {}".format(
            *names
        ),
        **experiment.environment("scikit-learn"),
        "seeds": args.seeds,
        "batch_size": args.batch_size,
        "epochs": args.epochs,
        "sets": {},
    }
    output = experiment.file_of(args, NAME)
    if args.resume and output is not None and output.exists():
        known = json.loads(output.read_text())
        for setting in ("backend", "seeds", "batch_size", "epochs"):
            if known[setting] != results[setting]:
                parser.error(
                    f"--resume: expected {setting}={results[setting]} in "
                    f"{output}. Received: {known[setting]}"
                )
        results["sets"] = known["sets"]
    sets = list(tabular_sets())
    if not args.quick:
        sets = [*image_sets(args.mnist, args.cifar), *sets]
    for name, data in sets:
        if name in results["sets"]:
            continue
        x, x_test, *labels = data
        x, x_test = (np.reshape(each, (len(each), -1)) for each in (x, x_test))
        data = (x, x_test, *labels)
        rows = {
            "k-means": {},
            "HebbianCompetitive": {},
            "LateralInhibitionSparse": {},
        }
        for seed in args.seeds:
            measured = {"k-means": k_means(data, seed)}
            for kind in (kh.HebbianCompetitive, kh.LateralInhibitionSparse):
                if kind.non_negative_inputs and x.min() < 0:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    measured[kind.__name__] = measure(
                        kind, data, args.batch_size, args.epochs, seed
                    )
            for column, values in measured.items():
                for key, value in values.items():
                    rows[column].setdefault(key, []).append(round(value, 4))
        found = {**results["sets"], name: rows}
        results["sets"] = {x: found[x] for x, _ in sets if x in found}
        print(name, rows, flush=True)
        if output is not None:
            experiment.write(results, output)
            output.with_suffix(".md").write_text(table(results))
    print(f"\n{table(results)}")
    if args.quick:
        print(experiment.QUICK)


if __name__ == "__main__":
    main()
