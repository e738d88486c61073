"""Convolutional networks of SoftHebb layers, and their readouts.

What `cifar10_deep.py` and `mnist_deep.py` share.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

import experiment
import keras_hebbian as kh


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
    """A network whose layers all learned in one epoch, without labels."""
    inputs = keras.Input(images.shape[1:])
    model = kh.HebbianSequential(
        [inputs, *(layer for block in blocks for layer in block.layers())]
    )
    model.compile()
    model.fit(images, batch_size=10)
    return model


def random(blocks: Sequence[Block], images: np.ndarray) -> keras.Model:
    """A network with the filters of its start.

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


def first_blocks(model: keras.Model, count: int) -> keras.Model:
    """The first blocks of a network, with flat outputs of half precision."""
    inputs = keras.Input(model.input_shape[1:])
    flat = layers.Flatten(dtype="float16")
    return keras.Sequential([inputs, *model.layers[: 4 * count], flat])


def read_out(
    features: keras.Model,
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> tuple[float, dict]:
    """Test accuracy and curves of the linear readout of the SoftHebb paper.

    Dropout and ten outputs that start with positive weights, trained with Adam
    in batches of 64, at a rate that is halved seven times. The features are
    computed once.
    """
    seen, seen_test = (
        (features.predict(images, batch_size=100), labels)
        for images, labels in (train, test)
    )
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
    history = model.fit(*seen, batch_size=64, epochs=epochs).history
    return model.evaluate(*seen_test, batch_size=1000)[1], history


def compare(
    blocks: Sequence[Block],
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> experiment.Rows:
    """Each depth of a network that learned, and the network at random."""
    train, test = (
        (x if x.ndim == 4 else x[..., None], labels)
        for x, labels in (train, test)
    )
    model = learned(blocks, train[0])
    for count in range(len(blocks), 0, -1):
        features = first_blocks(model, count)
        yield (
            f"SoftHebb, {count} layer" + "s" * (count > 1),
            *read_out(features, train, test, epochs),
        )
    features = first_blocks(random(blocks, train[0]), len(blocks))
    yield (
        f"random filters, {len(blocks)} layers",
        *read_out(features, train, test, epochs),
    )
