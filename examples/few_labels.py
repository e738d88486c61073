"""Features learned without labels, read out with few labels.

    python examples/few_labels.py

All training images are available, but only some have a label: 1, 5 or 10 of
each class, 1, 5 or 10 % of the images, or all. Features are learned once from
all images, without labels, and for each number of labels a logistic regression
is trained on them. The layers have their default arguments, and for soft
competition those of its paper on MNIST. The deep network is that of
`cifar10_deep.py`, with 24 units in its first layer, and on MNIST its first two
blocks, with average pooling after the second. Baselines are the same readout of
the pixels, of principal components and of random units, and networks of the
size of the dense layer and of the single convolution, trained by
backpropagation on the labelled images alone. Each seed draws other labels.

Before the readout all features are centred and scaled to a mean squared norm
of 1, by the mean and the norms of all training images. Its arguments are the
same for all features and all numbers of labels. They, the powers of `Triangle`
and the rate of the convolution trained by backpropagation were chosen among two
or three values on the last 10,000 training images of MNIST; on CIFAR-10 that
rate is the better one of two as well.
"""

import math
import random
from collections.abc import Iterator

import keras
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

import cifar10_deep
import deep_network
import experiment
import keras_hebbian as kh

# Of each class if >= 1, otherwise a share of the images.
LABELS = {
    "1 per class": 1,
    "5 per class": 5,
    "10 per class": 10,
    "1 %": 0.01,
    "5 %": 0.05,
    "10 %": 0.1,
    "all": math.inf,
}
INVERSE_REGULARIZATION = 10.0

# Rows of train and test images, or of their features.
Rows = tuple[np.ndarray, np.ndarray]
# Places of the labelled images, by the name of the column.
Draws = dict[str, np.ndarray]


def draw(labels: np.ndarray) -> Draws:
    """Random images of each class to be labelled; more include fewer."""
    generator = np.random.default_rng(random.getrandbits(32))
    order = generator.permutation(len(labels))
    by_class = [order[labels[order] == x] for x in np.unique(labels)]
    draws = {}
    for name, count in LABELS.items():
        if count < 1:
            count = max(1, round(count * len(labels) / len(by_class)))
        count = min(count, len(labels))
        draws[name] = np.concatenate([places[:count] for places in by_class])
    return draws


def scaled(features: Rows) -> Rows:
    """Features that are centred, with a mean squared norm of 1."""
    mean = features[0].mean(axis=0)
    scale = np.sqrt(np.mean(np.sum((features[0] - mean) ** 2, axis=1)))
    train, test = ((each - mean) / scale for each in features)
    return train, test


def read_out(
    features: Rows, labels: tuple[np.ndarray, np.ndarray], draws: Draws
) -> dict[str, float]:
    """Test accuracy of a logistic regression for each number of labels."""
    train, test = scaled(features)
    accuracies = {}
    for name, places in draws.items():
        model = LogisticRegression(
            C=INVERSE_REGULARIZATION, max_iter=1000, tol=1e-3
        )
        model.fit(train[places], labels[0][places])
        accuracies[name] = model.score(test, labels[1])
    return accuracies


def features(layers: list[keras.Layer], images: Rows, epochs: int) -> Rows:
    """Outputs of layers that learned from the training images.

    With 0 epochs they keep their initial weights.
    """
    inputs = keras.Input(images[0].shape[1:])
    model = kh.HebbianSequential([inputs, *layers, keras.layers.Flatten()])
    model.compile()
    if epochs:
        model.fit(
            images[0],
            batch_size=100,
            epochs=epochs,
            callbacks=[kh.LinearRateDecay()] if epochs > 1 else [],
            verbose=2,
        )
    train, test = (
        model.predict(each, batch_size=1000, verbose=0) for each in images
    )
    return train, test


def competing(units: int) -> list[keras.Layer]:
    """A dense layer of competing units."""
    return [kh.HebbianCompetitive(units), kh.Triangle(2)]


def soft(units: int) -> list[keras.Layer]:
    """A dense layer of softly competing units."""
    layer = kh.SoftHebb(
        units,
        temperature=1 / 12,
        anti_hebbian=False,
        kernel_initializer=keras.initializers.RandomUniform(0, 2),
    )
    return [layer, kh.Triangle(2)]


def soft_convolution(units: int, shape: tuple[int, ...]) -> list[keras.Layer]:
    """A convolution of softly competing units, pooled to 4 x 4 places."""
    return [
        keras.layers.Reshape(shape),
        keras.layers.BatchNormalization(center=False, scale=False),
        kh.Convolution(kh.SoftHebb(units), kernel_size=5, positions=16),
        kh.Triangle(),
        keras.layers.AveragePooling2D((shape[0] - 4) // 4),
    ]


def convolution(units: int, shape: tuple[int, ...]) -> list[keras.Layer]:
    """The same size of a convolution, to be trained by backpropagation."""
    return [
        keras.layers.Reshape(shape),
        keras.layers.BatchNormalization(center=False, scale=False),
        keras.layers.Conv2D(units, 5, activation="relu"),
        keras.layers.AveragePooling2D((shape[0] - 4) // 4),
    ]


def deep(
    units: int, shape: tuple[int, ...], images: Rows, learning: bool
) -> Rows:
    """Features of the deep network, on grey images of its first two blocks.

    The first of its layers has `units` units.
    """
    blocks = cifar10_deep.blocks(units)
    if shape[-1] == 1:
        average = keras.layers.AveragePooling2D(2)
        blocks = [blocks[0], blocks[1]._replace(pooling=average)]
    images = tuple(each.reshape(len(each), *shape) for each in images)
    make = deep_network.learned if learning else deep_network.random
    network = deep_network.first_blocks(make(blocks, images[0]), len(blocks))
    train, test = (
        network.predict(each, batch_size=100, verbose=0) for each in images
    )
    return train, test


def backpropagation(
    layers: list[keras.Layer],
    train: experiment.Split,
    test: experiment.Split,
    draws: Draws,
    rate: float,
    passes: int,
    images: int,
) -> dict[str, float]:
    """Test accuracy of a network for each number of labels, from scratch.

    It sees `passes * images` images, repeated if necessary, and more if more
    are labelled.
    """
    first = keras.Sequential([keras.Input(train[0].shape[1:]), *layers])
    accuracies = {}
    for name, places in draws.items():
        model = keras.Sequential(
            [
                keras.models.clone_model(first),  # with weights of its own
                keras.layers.Flatten(),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        repeated = np.tile(places, math.ceil(images / len(places)))
        experiment.fit(
            model,
            "sparse_categorical_crossentropy",
            (train[0][repeated], train[1][repeated]),
            None,
            passes,
            rate,
        )
        accuracies[name] = experiment.accuracy(model, test)
    return accuracies


def curves(accuracies: dict[str, dict[str, float]]) -> Figure:
    """Accuracy for each number of labels, with the labels of the last seed"""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=matplotlib.colormaps["tab20"].colors)
    styles = {"random": "--", "backpropagation": ":"}
    for name, row in accuracies.items():
        style = styles.get(name.replace(",", " ").split()[0], "-")
        axes.plot(list(row), list(row.values()), style, marker="o", label=name)
    axes.set_xlabel("labelled images")
    axes.set_ylabel("accuracy")
    axes.tick_params(axis="x", rotation=30)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    return figure


def compare(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and accuracies of everything that is compared."""
    units, maps, epochs, passes = (20, 8, 1, 1) if quick else (500, 64, 3, 5)
    at_least = 500 if quick else 10_000
    images, labels = zip(train, test, strict=True)
    size = kh.plotting.fit_image_shape(images[0].shape[1])
    shape = size if len(size) == 3 else (*size, 1)
    draws = draw(train[1])
    if quick:
        draws = {name: draws[name] for name in ("1 per class", "1 %", "all")}
    learned = {
        "competing units": (competing(units), epochs),
        "soft competition": (soft(units), epochs),
        "random units": (competing(units), 0),
        "soft competition, convolution": (soft_convolution(maps, shape), 1),
        "random convolution": (soft_convolution(maps, shape), 0),
    }
    for name, (layers, count) in learned.items():
        outputs = features(layers, images, count)
        yield name, read_out(outputs, labels, draws)
    for name, learning in (
        ("soft competition, deep", True),
        ("random, deep", False),
    ):
        outputs = deep(4 if quick else 24, shape, images, learning)
        yield name, read_out(outputs, labels, draws)
    yield "pixels", read_out(images, labels, draws)
    components = PCA(min(100, units)).fit(images[0])
    outputs = tuple(map(components.transform, images))
    yield "principal components", read_out(outputs, labels, draws)
    hidden = [keras.layers.Dense(units, activation="relu")]
    trained = {
        "backpropagation": (hidden, 1e-3),
        "backpropagation, convolution": (convolution(maps, shape), 1e-2),
    }
    for name, (layers, rate) in trained.items():
        yield (
            name,
            backpropagation(layers, train, test, draws, rate, passes, at_least),
        )


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    for name, accuracies in compare(train, test, quick):
        yield name, accuracies, accuracies


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=curves)
