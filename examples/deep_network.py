"""Convolutional networks of SoftHebb layers, and their readouts.

Shared by `cifar10_deep.py` and `mnist_deep.py`.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import scipy.linalg
from keras import layers
from matplotlib.figure import Figure
from sklearn.preprocessing import StandardScaler

import experiment
import keras_hebbian as kh

# Features of train and test images.
Features = tuple[np.ndarray, np.ndarray]


class Block(NamedTuple):
    """The arguments of one block of a network."""

    units: int
    kernel_size: int
    temperature: float
    power: float
    learning_rate: float
    pooling: keras.layers.Layer

    def local(self) -> kh.SoftHebb:
        """The softly competing units."""
        return kh.SoftHebb(
            self.units,
            temperature=self.temperature,
            learning_rate=self.learning_rate,
        )

    def layers(self) -> list[keras.layers.Layer]:
        """Normalization, competing units, activation, pooling."""
        return [
            layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, center=False, scale=False
            ),
            kh.Convolution(self.local(), self.kernel_size, padding="reflect"),
            kh.Triangle(self.power),
            self.pooling,
        ]


class Readout(NamedTuple):
    """How a whole network is read out.

    Attributes:
        epochs: Of the paper's readout, which is left out if they are 0.
        penalty: Of the ridge regression, for each image.
        poolings: For the ridge regression, those of the last block, of the
            block before it, and so on. There is a row for the last block
            alone, one for the last two, and so on. Defaults to the pooling of
            the last block, as in the paper's readout.
        mirrored: Whether features are averaged with those of mirror images,
            except for the paper's readout.
    """

    epochs: int
    penalty: float
    poolings: Sequence[keras.layers.Layer] = ()
    mirrored: bool = False


def learned(blocks: Sequence[Block], images: np.ndarray) -> keras.Model:
    """A network whose layers all learned together in one epoch."""
    inputs = keras.Input(images.shape[1:])
    model = kh.HebbianSequential(
        [inputs, *(layer for block in blocks for layer in block.layers())]
    )
    model.compile()
    model.fit(images, batch_size=10)
    return model


def random(blocks: Sequence[Block], images: np.ndarray) -> keras.Model:
    """A network with its initial random filters.

    Only its batch normalizations learn from the images.
    """
    inputs = keras.Input(images.shape[1:])
    stack = [layer for block in blocks for layer in block.layers()]
    for layer in stack:
        if isinstance(layer, kh.Convolution):
            layer.trainable = False
    model = kh.HebbianSequential([inputs, *stack])
    model.compile()
    model.fit(images[:5000], batch_size=100)
    return model


def first_blocks(
    model: keras.Model,
    count: int,
    poolings: Sequence[keras.layers.Layer] = (),
) -> keras.Model:
    """The first blocks of a network, with flat outputs.

    Args:
        model: The network.
        count: How many of its blocks.
        poolings: If given, the outputs are the activations of the last block
            in the first of these poolings, beside those of the block before it
            in the second, and so on.
    """
    ends = range(4 * count, 0, -4)
    outputs = [
        pooling(model.layers[end - 2].output)
        for end, pooling in zip(
            ends, poolings or [model.layers[4 * count - 1]], strict=False
        )
    ]
    flat = [layers.Flatten()(output) for output in outputs]
    joined = layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    return keras.Model(model.inputs, joined)


def features(
    model: keras.Model,
    train: experiment.Split,
    test: experiment.Split,
    mirrored: bool = False,
) -> Features:
    """Outputs for the images, or their mean with those for mirror images."""
    seen = tuple(
        np.zeros((len(images), model.output_shape[-1]), "float32")
        for images, _ in (train, test)
    )
    add_outputs(seen, model, train, test)
    if mirrored:
        add_outputs(seen, model, mirror(train), mirror(test))
        for outputs in seen:
            outputs /= 2
    return seen


def mirror(split: experiment.Split) -> experiment.Split:
    """The images, left and right exchanged, and their labels."""
    images, labels = split
    return images[:, :, ::-1], labels


def add_outputs(
    seen: Features,
    model: keras.Model,
    train: experiment.Split,
    test: experiment.Split,
) -> None:
    """Adds the outputs for the images to arrays. Keras would make a list and a
    new array."""
    for outputs, (images, _) in zip(seen, (train, test), strict=True):
        bar = keras.utils.Progbar(len(images))
        for rows, piece in zip(pieces(outputs), pieces(images), strict=True):
            rows += model.predict(piece, batch_size=100, verbose=0)
            bar.add(len(piece))


def read_out(
    seen: Features,
    train: experiment.Split,
    test: experiment.Split,
    penalty: float,
    counts: Sequence[int] = (),
) -> list[float]:
    """Test accuracies of ridge regressions on standardized features.

    What `make_pipeline(StandardScaler(), RidgeClassifier(alpha))` computes,
    but the features are standardized in place, and the normal equations are
    solved in place: scikit-learn would copy gigabytes.

    Args:
        seen: Features of the training and test images; they are overwritten.
        train: Training images and labels.
        test: Test images and labels.
        penalty: Alpha of the regressions, for each training image.
        counts: For each regression, on how many of the features, from the
            first. All share one Cholesky factor. Defaults to one on all.
    """
    inputs, labels = seen[0], train[1]
    scaler = StandardScaler(copy=False)
    for piece in pieces(inputs):
        scaler.partial_fit(piece)
    for piece in (*pieces(inputs), *pieces(seen[1])):
        scaler.transform(piece)
    targets = 2 * np.eye(labels.max() + 1, dtype="float32")[labels] - 1
    gram = inputs.T @ inputs
    gram.flat[:: len(gram) + 1] += penalty * len(labels)
    factor, lower = scipy.linalg.cho_factor(gram.T, overwrite_a=True)
    products = inputs.T @ targets
    found = []
    for count in counts or [len(gram)]:
        kernel = scipy.linalg.cho_solve(
            (factor[:count, :count], lower), products[:count]
        )
        outputs = seen[1][:, :count] @ kernel + targets.mean(axis=0)
        found.append(np.mean(outputs.argmax(axis=1) == test[1]))
    return found


def pieces(rows: np.ndarray) -> list[np.ndarray]:
    """Views of up to 1000 rows each."""
    return np.array_split(rows, math.ceil(len(rows) / 1000))


class Batches(keras.utils.PyDataset):
    """Batches of features, in a new order in each epoch.

    Keras would copy the whole array.
    """

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, batch_size: int
    ) -> None:
        super().__init__()
        self.features, self.labels = features, labels
        self.batch_size = batch_size
        self.rng = np.random.default_rng(0)
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch_size)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        start = place * self.batch_size
        chosen = self.order[start : start + self.batch_size]
        return self.features[chosen], self.labels[chosen]

    def on_epoch_end(self) -> None:
        self.order = self.rng.permutation(len(self.labels))


def read_out_of_the_paper(
    seen: Features,
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> tuple[float, dict[str, list[float]]]:
    """Test accuracy and curves of the linear readout of the SoftHebb paper.

    Dropout and ten outputs that start with positive weights, trained with Adam
    in batches of 64, at a rate that is halved seven times.
    """
    inputs = seen[0].shape[1]
    start = keras.initializers.RandomUniform(0, math.sqrt(3 * 10**2 / inputs))
    outputs = layers.Dense(10, kernel_initializer=start)
    model = keras.Sequential(
        [keras.Input((inputs,)), layers.Dropout(0.5), outputs]
    )
    steps = math.ceil(len(train[0]) / 64)
    halved = [epochs * epoch // 50 for epoch in (10, 17, 25, 30, 35, 40, 45)]
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.PiecewiseConstantDecay(
                [steps * epoch for epoch in halved],
                [1e-3 / 2**times for times in range(len(halved) + 1)],
            )
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(Batches(seen[0], train[1], 64), epochs=epochs).history
    return model.evaluate(Batches(seen[1], test[1], 1000))[1], history


def with_channels(split: experiment.Split) -> experiment.Split:
    """Images with an axis of channels, and their labels."""
    images, labels = split
    return images if images.ndim == 4 else images[..., None], labels


def compare(
    blocks: Sequence[Block],
    train: experiment.Split,
    test: experiment.Split,
    readout: Readout,
) -> experiment.Rows:
    """Each depth of a network that learned, and a network of random filters."""
    model = learned(blocks, train[0])
    yield from readouts_of_the_whole("SoftHebb", model, train, test, readout)
    kernel = keras.ops.convert_to_numpy(model.layers[1].layer.kernel)
    for count in range(len(blocks) - 1, 0, -1):
        network = first_blocks(model, count)
        seen = features(network, train, test, readout.mirrored)
        name = f"SoftHebb, {count} layer" + "s" * (count > 1)
        yield name, *read_out(seen, train, test, readout.penalty), kernel
        del seen  # gigabytes
    model = random(blocks, train[0])
    readout = readout._replace(epochs=0)
    yield from readouts_of_the_whole(
        "random filters", model, train, test, readout
    )


def readouts_of_the_whole(
    name: str,
    model: keras.Model,
    train: experiment.Split,
    test: experiment.Split,
    readout: Readout,
) -> experiment.Rows:
    """Rows with the accuracies of readouts of a whole network."""
    epochs, penalty, poolings, mirrored = readout
    depth = len(model.layers) // 4
    name = f"{name}, {depth} layers"
    network = first_blocks(model, depth)
    seen = None
    if epochs:
        seen = features(network, train, test)
        yield (
            f"{name}, the paper's readout",
            *read_out_of_the_paper(seen, train, test, epochs),
        )
    networks = [
        first_blocks(model, depth, poolings[:count])
        for count in range(1, len(poolings) + 1)
    ] or [network]
    if seen is None or poolings or mirrored:  # other features
        seen = None  # frees gigabytes
        seen = features(networks[-1], train, test, mirrored)
    counts = [network.output_shape[-1] for network in networks]
    accuracies = read_out(seen, train, test, penalty, counts)
    kernel = keras.ops.convert_to_numpy(model.layers[1].layer.kernel)
    for count, accuracy in enumerate(accuracies, start=1):
        several = f", last {count} read out" if count > 1 else ""
        yield f"{name}{several}", accuracy, kernel


def filters_and_curves(drawn: dict[str, Any]) -> Figure:
    """Filters of the first layer, and the training of the paper's readout"""
    history, kernel, *_ = drawn.values()
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(_mosaic(kernel), cmap="gray")
    left.set_axis_off()
    right.plot(range(1, len(history["loss"]) + 1), history["accuracy"])
    right.set_xlabel("epoch")
    right.set_ylabel("accuracy on the training images")
    right.grid(alpha=0.3)
    return figure


def _mosaic(kernel: np.ndarray) -> np.ndarray:
    """Filters of 5 x 5 pixels as tiles, each in its own range of colours."""
    count = kernel.shape[1]
    rows = max(x for x in range(1, math.isqrt(count) + 1) if count % x == 0)
    tiles = kernel.T.reshape(rows, count // rows, 5, 5, -1)
    tiles = tiles / np.abs(tiles).max(axis=(2, 3, 4), keepdims=True)
    tiles = np.pad((tiles + 1) / 2, [(0, 0)] * 2 + [(0, 1)] * 2 + [(0, 0)])
    return tiles.swapaxes(1, 2).reshape(6 * rows, -1, tiles.shape[-1])
