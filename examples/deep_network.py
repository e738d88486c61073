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

# Of the ridge regression; chosen on validation images of CIFAR-10.
ALPHA_PER_IMAGE = 0.2

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

    def layers(self) -> list[keras.layers.Layer]:
        """Normalization, softly competing units, activation, pooling."""
        units = kh.SoftHebb(
            self.units,
            temperature=self.temperature,
            learning_rate=self.learning_rate,
        )
        return [
            layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, center=False, scale=False
            ),
            kh.Convolution(units, self.kernel_size, padding="reflect"),
            kh.Triangle(self.power),
            self.pooling,
        ]


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
    model: keras.Model, count: int, pooling: keras.layers.Layer | None = None
) -> keras.Model:
    """The first blocks of a network, with flat outputs.

    Another pooling may take the place of that of the last block.
    """
    inputs = keras.Input(model.input_shape[1:])
    *blocks, last = model.layers[: 4 * count]
    return keras.Sequential(
        [inputs, *blocks, pooling or last, layers.Flatten()]
    )


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
    seen: Features, train: experiment.Split, test: experiment.Split
) -> float:
    """Test accuracy of a ridge regression on standardized features.

    What `make_pipeline(StandardScaler(), RidgeClassifier(alpha))` computes,
    but the features are standardized in place, and the normal equations are
    solved in place: scikit-learn would copy gigabytes.
    """
    inputs, labels = seen[0], train[1]
    scaler = StandardScaler(copy=False)
    for piece in pieces(inputs):
        scaler.partial_fit(piece)
    for piece in (*pieces(inputs), *pieces(seen[1])):
        scaler.transform(piece)
    targets = 2 * np.eye(labels.max() + 1, dtype="float32")[labels] - 1
    gram = inputs.T @ inputs
    gram.flat[:: len(gram) + 1] += ALPHA_PER_IMAGE * len(labels)
    factor = scipy.linalg.cho_factor(gram.T, overwrite_a=True)
    kernel = scipy.linalg.cho_solve(factor, inputs.T @ targets)
    outputs = seen[1] @ kernel + targets.mean(axis=0)
    return np.mean(outputs.argmax(axis=1) == test[1])


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
    epochs: int,
    pooling: keras.layers.Layer | None = None,
    mirrored: bool = False,
) -> experiment.Rows:
    """Each depth of a network that learned, and a network of random filters.

    Args:
        blocks: The blocks of the network.
        train: Training images and labels.
        test: Test images and labels.
        epochs: Of the paper's readout.
        pooling: Of the last block, for all but the paper's readout. Defaults
            to that of the block.
        mirrored: Whether features are averaged with those of mirror images,
            except for the paper's readout.
    """
    model = learned(blocks, train[0])
    depth = len(blocks)
    seen = features(first_blocks(model, depth), train, test)
    yield (
        f"SoftHebb, {depth} layers, the paper's readout",
        *read_out_of_the_paper(seen, train, test, epochs),
    )
    kernel = keras.ops.convert_to_numpy(model.layers[1].layer.kernel)
    for count in range(depth, 0, -1):
        if count < depth or pooling or mirrored:  # other features
            del seen  # gigabytes
            network = first_blocks(
                model, count, pooling if count == depth else None
            )
            seen = features(network, train, test, mirrored)
        yield (
            f"SoftHebb, {count} layer" + "s" * (count > 1),
            read_out(seen, train, test),
            kernel,
        )
    del seen
    network = first_blocks(random(blocks, train[0]), depth, pooling)
    seen = features(network, train, test, mirrored)
    yield f"random filters, {depth} layers", read_out(seen, train, test), None


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
