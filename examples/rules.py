"""Every rule of the package, compared with baselines.

    python examples/rules.py --mnist mnist.npz --cifar cifar10_jpeg.npz

Layers of 100, 400 and 2000 units learn MNIST, and a convolution of 96 filters
learns CIFAR-10: by each rule of the package, and as random units, as the
centres of scikit-learn's `MiniBatchKMeans`, as its principal components, and by
backpropagation. Each row has the test accuracy of the winners, which vote for
the class that they win most often on the training images, and of a ridge
regression on the features with all labels, 10 % and 1 % of them, which finds
its penalty by leaving each sample out. The sparsity is that of Treves and
Rolls: 0 if all features of an image are equally strong, 1 if there is only one.
Dead units win no training image. Seconds are those of learning and of computing
the features; for backpropagation, of learning with all labels.

Every rule has four sets of arguments to choose from. They learn from the first
20,000 training images, with the first seed, and the one with the best readout
of 10 % of their labels on the last tenth of the training images is chosen, for
each number of units. There are no more components than inputs. Takes hours,
and up to 15 GB of memory.

The figures are written after every row, and a run continues where it stopped.
At the end they are written as a table and drawn, too.
`--only` and `--settings` run a part of the rows.

Add your own rule with one line: `RULES` maps names to functions that make
layers, the first of which learns.
"""

import argparse
import functools
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.linear_model import RidgeClassifierCV

import experiment
import few_labels
import keras_hebbian as kh

Layers = list[keras.Layer]
NAME = "rules.json"
LABELS = ("all", "10 %", "1 %")
COLUMNS = ("winners", *LABELS, "sparsity", "dead units", "seconds")


class Setting(NamedTuple):
    """What is learned, by how many units, and whether from patches."""

    data: str
    units: int
    convolution: bool = False

    @property
    def name(self) -> str:
        """For tables and the command line."""
        kind = "filters" if self.convolution else "units"
        return f"{self.data}, {self.units} {kind}"


SETTINGS = [
    Setting("mnist", 100),
    Setting("mnist", 400),
    Setting("mnist", 2000),
    Setting("cifar", 96, convolution=True),
]
QUICK = [Setting("digits", 16), Setting("digits", 8, convolution=True)]


def competing(units: int, power: float = 2, **given: Any) -> Layers:
    """`HebbianCompetitive`"""
    return [kh.HebbianCompetitive(units, **given), kh.Triangle(power)]


def soft(units: int, power: float = 2, positive: bool = True) -> Layers:
    """`SoftHebb`, for inputs that are never negative or for all others"""
    if not positive:
        return [kh.SoftHebb(units), kh.Triangle(power)]
    return [few_labels.soft(units)[0], kh.Triangle(power)]


def sparse(units: int, power: float = 2, active: float = 0.7) -> Layers:
    """`LateralInhibitionSparse`, with a mean of `active` active units"""
    layer = kh.LateralInhibitionSparse(
        units,
        sparsity=active / units,
        activation="linear",  # which does not saturate
    )
    return [layer, kh.Triangle(power)]


def components(units: int, activation: str = "linear", **given: Any) -> Layers:
    """`HebbianPCA`"""
    return [kh.HebbianPCA(units, activation=activation, **given)]


def map_of(units: int, power: float = 1, **given: Any) -> Layers:
    """`SelfOrganizingMap` with as many rows as columns, or nearly"""
    rows = max(x for x in range(1, math.isqrt(units) + 1) if units % x == 0)
    layer = kh.SelfOrganizingMap((rows, units // rows), **given)
    return [layer, kh.Triangle(power)]


def random_units(units: int, power: float = 2, positive: bool = True) -> Layers:
    """Units that stay as they start"""
    # A new one each time: an initializer repeats its values.
    start = keras.initializers.RandomUniform(0, 2)
    if not positive:
        start = keras.initializers.RandomNormal()
    return competing(units, power, trainable=False, kernel_initializer=start)


def k_means(samples: np.ndarray, units: int, power: float = 1) -> Layers:
    """Units at the centres of k-means, which respond by their distance"""
    found = MiniBatchKMeans(units, n_init=3).fit(samples)
    layer = kh.SelfOrganizingMap(units, trainable=False)
    return [_with(layer, found.cluster_centers_.T), kh.Triangle(power)]


def scikit_learn_pca(
    samples: np.ndarray,
    units: int,
    activation: str = "linear",
    whiten: bool = False,
) -> Layers:
    """Principal components of scikit-learn"""
    found = PCA(units).fit(samples)
    kernel = found.components_.T
    if whiten:
        kernel = kernel / np.sqrt(found.explained_variance_ + 1e-3)
    layer = kh.HebbianPCA(
        units, center=True, activation=activation, trainable=False
    )
    layer = _with(layer, kernel)
    layer.mean.assign(found.mean_)
    return [layer]


def _with(layer: kh.KernelLayer, kernel: np.ndarray) -> kh.KernelLayer:
    layer.build((None, len(kernel)))
    layer.kernel.assign(kernel)
    return layer


# Makes the layers for a number of units: the first learns, the others turn its
# outputs into features. Add your own.
RULES: dict[str, Callable[..., Layers]] = {
    "HebbianCompetitive": competing,
    "SoftHebb": soft,
    "LateralInhibitionSparse": sparse,
    "HebbianPCA": components,
    "SelfOrganizingMap": map_of,
    "random units": random_units,
}
# The same, from samples in addition.
FITTED: dict[str, Callable[..., Layers]] = {
    "k-means": k_means,
    "PCA": scikit_learn_pca,
}
BACKPROPAGATION = "backpropagation"
COMPONENTS = ("HebbianPCA", "PCA")
"""At most as many as inputs, and without winners."""

# The arguments that validation chooses from; none are the defaults above.
CHOICES: dict[str, list[dict[str, Any]]] = {
    "HebbianCompetitive": [
        {"power": power, "delta": delta}
        for power in (1, 2)
        for delta in (0.0, 0.2)
    ],
    "SoftHebb": [
        {"power": power, "positive": positive}
        for power in (1, 2)
        for positive in (True, False)
    ],
    "LateralInhibitionSparse": [
        {"power": power, "active": active}
        for power in (1, 2)
        for active in (0.7, 3)
    ],
    "HebbianPCA": [
        {"activation": activation, "center": center}
        for activation in ("linear", "relu")
        for center in (True, False)
    ],
    "SelfOrganizingMap": [
        {"power": power, "sigma": sigma}
        for power in (1, 2)
        for sigma in (None, 2.0)
    ],
    "random units": [
        {"power": power, "positive": positive}
        for power in (1, 2)
        for positive in (True, False)
    ],
    "k-means": [{"power": power} for power in (0.5, 1, 2, 4)],
    "PCA": [
        {"activation": activation, "whiten": whiten}
        for activation in ("linear", "relu")
        for whiten in (False, True)
    ],
    BACKPROPAGATION: [{"dropout": rate} for rate in (0, 0.25, 0.5, 0.75)],
}


class Data(NamedTuple):
    """Train and test images of a setting, and their labels."""

    train: experiment.Split
    test: experiment.Split
    signed: few_labels.Rows
    """The images, standardized by channel for a convolution."""

    @property
    def labels(self) -> few_labels.Rows:
        """Those of the train and of the test images."""
        return self.train[1], self.test[1]


def prepared(
    train: experiment.Split, test: experiment.Split, convolution: bool
) -> Data:
    """Images as vectors, or with channels for a convolution."""
    images = train[0], test[0]
    if not convolution:
        images = tuple(each.reshape(len(each), -1) for each in images)
    elif images[0].ndim == 3:
        images = tuple(each[..., None] for each in images)
    signed = images
    if convolution:
        scale = keras.layers.Normalization()
        scale.adapt(images[0])
        mean, deviation = (
            keras.ops.convert_to_numpy(x)
            for x in (scale.mean, keras.ops.sqrt(scale.variance))
        )
        signed = tuple((each - mean) / deviation for each in images)
    train, test = zip(images, (train[1], test[1]), strict=True)
    return Data(train, test, signed)


def samples_of(images: np.ndarray, convolution: bool) -> np.ndarray:
    """What a layer learns from: images, or 16 random patches of each."""
    if not convolution:
        return images
    extract = PatchExtractor(patch_size=(5, 5), max_patches=16)
    patches = extract.transform(images)
    return patches.reshape(len(patches), -1)


def model_layers(layers: Layers, shape: tuple[int, ...]) -> Layers:
    """The layers, inside a convolution if the shape is that of images."""
    if len(shape) == 1:
        return layers
    first, *others = layers
    wrapped = kh.Convolution(first, kernel_size=5, positions=16)
    return [wrapped, *others, _pooling(shape)]


def _pooling(shape: tuple[int, ...]) -> keras.Layer:
    return keras.layers.AveragePooling2D((shape[0] - 4) // 4)


def sparsity(features: np.ndarray) -> float:
    """1 - mean(|f|)^2 / mean(f^2) of an image, from 0 to 1, on average."""
    mean, square = np.abs(features).mean(axis=1), (features**2).mean(axis=1)
    responsive = square > 0
    share = mean[responsive] ** 2 / square[responsive]
    return float(np.mean(1 - share) / (1 - 1 / features.shape[1]))


def winners(features: np.ndarray, units: int) -> np.ndarray:
    """The unit with the largest feature, at each place of an image."""
    return features.reshape(len(features), -1, units).argmax(axis=-1)


def vote(rows: few_labels.Rows, labels: few_labels.Rows) -> float:
    """Test accuracy of winners with the class that they win most often."""
    classifier = kh.WinnerClassifier(int(labels[0].max()) + 1)
    classifier.adapt(rows[0], labels[0])
    found = experiment.voted(classifier, rows[1])
    return float(np.mean(found == labels[1]))


def learn(
    name: str, given: dict[str, Any], setting: Setting, data: Data, epochs: int
) -> tuple[few_labels.Rows, int]:
    """Features of all images, and the number of units."""
    images, units = data.signed, setting.units
    if name in COMPONENTS:
        shape = images[0].shape[1:]
        inputs = 25 * shape[-1] if setting.convolution else shape[0]
        units = min(units, inputs)
    make = RULES.get(name)
    if make is None:
        samples = samples_of(images[0], setting.convolution)
        make = functools.partial(FITTED[name], samples)
    layers = make(units, **given)
    if layers[0].non_negative_inputs:
        images = data.train[0], data.test[0]
    epochs = epochs if layers[0].trainable else 0
    layers = model_layers(layers, images[0].shape[1:])
    return few_labels.features(layers, images, epochs), units


def by_backpropagation(
    setting: Setting,
    data: Data,
    draws: few_labels.Draws,
    epochs: int,
    dropout: float = 0.0,
) -> dict[str, float]:
    """Test accuracies of a network of the same size, and its seconds."""
    (train, test), shape = data.signed, data.signed[0].shape[1:]
    layers = [keras.layers.Dense(setting.units, activation="relu")]
    if setting.convolution:
        filters = keras.layers.Conv2D(setting.units, 5, activation="relu")
        layers = [filters, _pooling(shape)]
    layers.append(keras.layers.Dropout(dropout))
    measured = {}
    for label, places in draws.items():
        start = time.perf_counter()
        measured |= few_labels.backpropagation(
            layers,
            (train, data.train[1]),
            (test, data.test[1]),
            {label: places},
            1e-2 if setting.convolution else 1e-3,
            epochs,
            min(10_000, len(train)),
        )
        seconds = time.perf_counter() - start
        measured.setdefault("seconds", seconds)  # of the first, all labels
    return measured


def measure(
    name: str,
    given: dict[str, Any],
    setting: Setting,
    data: Data,
    epochs: int,
    labels: tuple[str, ...] = LABELS,
) -> dict[str, float]:
    """One row: all that is measured of a rule with some arguments."""
    draws = few_labels.draw(data.train[1])
    draws = {label: draws[label] for label in labels}
    if name == BACKPROPAGATION:
        return by_backpropagation(setting, data, draws, epochs, **given)
    start = time.perf_counter()
    rows, units = learn(name, given, setting, data, epochs)
    seconds = time.perf_counter() - start
    measured = {"sparsity": sparsity(rows[0]), "seconds": seconds}
    if name not in COMPONENTS:
        wins = np.bincount(winners(rows[0], units).ravel(), minlength=units)
        measured["dead units"] = float(np.mean(wins == 0))
        if not setting.convolution:
            measured["winners"] = vote(rows, data.labels)
    return measured | read_out(rows, data.labels, draws)


def read_out(
    features: few_labels.Rows, labels: few_labels.Rows, draws: few_labels.Draws
) -> dict[str, float]:
    """Test accuracy of a ridge regression for each number of labels."""
    train, test = few_labels.scaled(features)
    accuracies = {}
    for name, places in draws.items():
        model = RidgeClassifierCV(np.logspace(-4, 2, 7))
        model.fit(train[places], labels[0][places])
        accuracies[name] = model.score(test, labels[1])
    return accuracies


def choose(
    name: str, setting: Setting, data: Data, epochs: int, seed: int
) -> dict[str, Any]:
    """The arguments with the best readout on a part of the train images."""
    choices = CHOICES.get(name, [{}])
    if len(choices) == 1:
        return choices[0]
    last = len(data.train[1]) // 10
    kept, held = (
        tuple(array[part] for array in data.train)
        for part in (slice(min(20_000, last * 9)), slice(-last, None))
    )
    signed = data.signed[0]
    split = Data(kept, held, (signed[: len(kept[0])], signed[-last:]))
    found = []
    for given in choices:
        keras.utils.set_random_seed(seed)
        measured = measure(name, given, setting, split, epochs, ("10 %",))
        print(f"{setting.name}: {name}: {given}: {measured['10 %']:.2%}")
        found.append(measured["10 %"])
    return choices[int(np.argmax(found))]


def table(results: dict[str, Any]) -> str:
    """The figures as Markdown, a table for each setting."""
    parts = []
    for setting, rows in results["settings"].items():
        columns = {
            name: {
                column: [row[column] for row in rows["seeds"].values()]
                for column in COLUMNS
                if column in next(iter(rows["seeds"].values()))
            }
            for name, rows in rows.items()
            if rows["seeds"]
        }
        parts.append(experiment.table(columns, {}, setting))
    return "\n\n".join(parts) + "\n"


def chart(results: dict[str, Any]) -> Figure:
    """Test accuracy of each rule with all labels, 10 % and 1 % of them"""
    settings = results["settings"]
    count = len(settings)
    figure = Figure(figsize=(7, 2.8 * count), layout="constrained")
    panels = figure.subplots(count, squeeze=False)[:, 0]
    for axes, (setting, rows) in zip(panels, settings.items(), strict=True):
        names = [name for name, row in rows.items() if row["seeds"]]
        for label, marker in zip(LABELS, "osd", strict=True):
            means = [
                np.mean([each[label] for each in rows[name]["seeds"].values()])
                for name in names
            ]
            axes.plot(means, names, marker, label=f"{label} labels")
        axes.set_title(setting, fontsize="medium")
        axes.set_xlabel("test accuracy")
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize="small")
        axes.grid(alpha=0.3)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=len(LABELS))
    return figure


def arguments_of(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = experiment.parser_of(__doc__, NAME)
    experiment.add_sources(parser)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2"
    )
    parser.add_argument(
        "--epochs", type=int, default=5, help="default: %(default)s"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="RULE", help="these rules; default: all"
    )
    parser.add_argument(
        "--settings",
        nargs="+",
        metavar="SETTING",
        help="these, such as 'mnist, 400 units'; default: all",
    )
    args = parser.parse_args(arguments)
    names = [*RULES, *FITTED, BACKPROPAGATION]
    settings = QUICK if args.quick else SETTINGS
    for option, known in (
        ("only", names),
        ("settings", [setting.name for setting in settings]),
    ):
        chosen = getattr(args, option)
        if not set(chosen or []) <= set(known):
            parser.error(f"Expected --{option} of {known}. Received: {chosen}")
        setattr(args, option, [x for x in known if x in (chosen or known)])
    args.output = experiment.file_of(args, NAME)
    return args


def main(arguments: list[str] | None = None) -> None:
    """Runs the comparison, or what is missing of it."""
    given = sys.argv[1:] if arguments is None else arguments
    args = arguments_of(given)
    # Paths say where a file lies on one machine only.
    shown = [pathlib.Path(x).name if os.path.exists(x) else x for x in given]
    results = {
        "command": " ".join(["python", "examples/rules.py", *shown]),
        **experiment.environment("scikit-learn"),
        "settings": {},
    }
    if args.output is not None and args.output.exists():
        results = json.loads(args.output.read_text())
    sources = {"mnist": args.mnist, "cifar": args.cifar}
    for setting in QUICK if args.quick else SETTINGS:
        if setting.name not in args.settings:
            continue
        splits = kh.datasets.load_data(sources.get(setting.data, setting.data))
        data = prepared(*splits, setting.convolution)
        rows = results["settings"].setdefault(setting.name, {})
        for name in args.only:
            compare(name, setting, data, args, rows, results)
    print(f"\n{table(results)}")
    if args.output is not None:
        args.output.with_suffix(".md").write_text(table(results))
        chart(results).savefig(args.output.with_suffix(".png"), dpi=100)
    if args.quick:
        print(experiment.QUICK)


def compare(
    name: str,
    setting: Setting,
    data: Data,
    args: argparse.Namespace,
    rows: dict[str, Any],
    results: dict[str, Any],
) -> None:
    """Adds what is missing of a row, and writes all figures after each."""
    epochs = 2 if args.quick else args.epochs

    def write() -> None:
        if args.output is not None:
            experiment.write(results, args.output)

    if name not in rows:
        first = CHOICES.get(name, [{}])[0]
        chosen = (
            first
            if args.quick
            else choose(name, setting, data, epochs, args.seeds[0])
        )
        rows[name] = {"arguments": chosen, "seeds": {}}
        write()
    row = rows[name]
    for seed in args.seeds:
        if str(seed) in row["seeds"]:
            continue
        keras.utils.set_random_seed(seed)
        measured = measure(name, row["arguments"], setting, data, epochs)
        row["seeds"][str(seed)] = {
            column: round(float(value), 4) for column, value in measured.items()
        }
        print(f"{setting.name}: {name}: seed {seed}: {measured}", flush=True)
        write()


if __name__ == "__main__":
    main()
