"""The deep network for CIFAR-10 at a quarter of its width, and backpropagation.

    python examples/cifar10_narrow.py

The network of `cifar10_deep.py` with 24, 96 and 384 units, which learn in one
epoch without labels and are read out in the same ways. Compared with it, the
same blocks trained by backpropagation with all labels: convolutions of the same
sizes with ReLU in place of `Triangle`, whose slope is infinite at 0 for powers
below 1, and the same dropout before the outputs.
"""

import keras
from keras import layers

import cifar10_deep
import deep_network
import experiment
from deep_network import Block


def backpropagation(
    blocks: list[Block],
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> tuple[float, dict[str, list[float]]]:
    """Accuracy and curves of the network trained by backpropagation."""
    model = keras.Sequential([keras.Input(train[0].shape[1:])])
    for block in blocks:
        model.add(layers.BatchNormalization(center=False, scale=False))
        model.add(
            layers.Conv2D(
                block.units,
                block.kernel_size,
                padding="same",
                activation="relu",
                use_bias=False,
            )
        )
        model.add(block.pooling)
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    loss = "sparse_categorical_crossentropy"
    history = experiment.fit(model, loss, train, None, epochs, rate=1e-3)
    return experiment.accuracy(model, test), history


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    train, test = map(deep_network.with_channels, (train, test))
    width, epochs, trained = (4, 1, 1) if quick else (24, 50, 15)
    blocks = cifar10_deep.blocks(width)
    readout = cifar10_deep.readout(epochs)
    yield from deep_network.compare(blocks, train, test, readout)
    blocks = cifar10_deep.blocks(width)
    accuracy, _ = backpropagation(blocks, train, test, trained)
    yield f"backpropagation, {trained} epochs", accuracy, None


if __name__ == "__main__":
    draw = deep_network.filters_and_curves
    experiment.main(run, __doc__, "cifar10", {}, draw, flat=False)
