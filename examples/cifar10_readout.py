"""Competing units, backpropagation and a linear control on CIFAR-10.

    python examples/cifar10_readout.py

The three models of the notebook of Krotov and Hopfield's rule for CIFAR-10,
compared with random units. The mean image is subtracted from all images, which
are then scaled to unit norm.
"""

import keras
import numpy as np

import experiment
import keras_hebbian as kh
from experiment import learn

REPORTED = {
    "Krotov and Hopfield 2019, competing units": 0.5075,
    "notebook, competing units, best epoch": 0.4997,
    "notebook, backpropagation, best epoch": 0.5466,
    "notebook, linear control": 0.3956,
}


def prepared(
    train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centred images of unit norm."""
    mean = train.mean(axis=0)
    return tuple(
        (images - mean) / np.linalg.norm(images - mean, axis=1, keepdims=True)
        for images in (train, test)
    )


def readout(
    units: kh.HebbianCompetitive,
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> tuple[float, dict]:
    """Accuracy and curves of a softmax on the powers of frozen units."""
    units.trainable = False
    scale = keras.layers.Normalization()  # mean 0 and variance 1 of each unit
    scale.adapt(train[0] @ units.get_weights()[0])
    inputs = keras.Input(train[0].shape[1:])
    return experiment.read_out(
        keras.Sequential([inputs, units, scale, kh.RectifiedPower(2)]),
        "softmax",
        "sparse_categorical_crossentropy",
        train,
        test,
        epochs,
        rate=1e-3,
    )


def dense(
    hidden: list[keras.Layer],
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> tuple[float, dict]:
    """Accuracy and curves of a hidden layer trained by backpropagation."""
    model = keras.Sequential(
        [
            keras.Input(train[0].shape[1:]),
            *hidden,
            keras.layers.BatchNormalization(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    history = experiment.fit(
        model,
        "sparse_categorical_crossentropy",
        train,
        test,
        epochs,
        rate=1e-3,
        batch_size=1000,
    )
    return experiment.accuracy(model, test), history


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    count, epochs, readout_epochs = (100, 2, 1) if quick else (2000, 50, 60)
    inputs = prepared(train[0], test[0])
    train, test = (inputs[0], train[1]), (inputs[1], test[1])

    def competing() -> kh.HebbianCompetitive:
        layer = experiment.competing_units(
            count, p=2, delta=0.2, learning_rate=0.04
        )
        layer.build(train[0].shape)
        return layer

    units = competing()
    learn(units, train[0], epochs)
    yield "competing units", *readout(units, train, test, readout_epochs)
    yield "random units", *readout(competing(), train, test, readout_epochs)
    hidden = [keras.layers.Dense(count, activation="relu")]
    epochs = 1 if quick else 20
    yield "backpropagation", *dense(hidden, train, test, epochs)
    hidden = [keras.layers.Dense(count)]
    epochs = 1 if quick else 10
    yield "linear control", *dense(hidden, train, test, epochs)


if __name__ == "__main__":
    experiment.main(run, __doc__, "cifar10", REPORTED)
