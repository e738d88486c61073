"""MLP with a Hebbian first layer, compared with backpropagation alone.

    python examples/hebbian_mlp.py

Two hidden layers of 512 units, 5 epochs of backpropagation on MNIST. In the
second model the first layer consists of competing units that learned without
labels and are frozen. In the third these units are random.
"""

import keras
import numpy as np

import experiment
from experiment import learn
from mnist_readout import features

UNITS = 512
REPORTED = {
    "notebook, perceptron": 0.9463,
    "notebook, Hebbian first layer": 0.8577,
}


def perceptron(
    first: list[keras.Layer],
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> tuple[float, dict]:
    """Accuracy and curves of a perceptron on top of its first layer."""
    model = keras.Sequential(
        [
            keras.Input(train[0].shape[1:]),
            *first,
            keras.layers.Dropout(0.2),
            keras.layers.Dense(UNITS, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    history = experiment.fit(model, loss, train, test, epochs, rate=1e-3)
    right = experiment.predictions(model, test[0]) == test[1]
    for label in range(10):
        of_class = right[test[1] == label]
        print(
            f"Accuracy of {label}: {of_class.mean():4.0%} "
            f"({of_class.sum()}/{len(of_class)})"
        )
    return np.mean(right), history


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    unsupervised, epochs = (2, 1) if quick else (60, 5)
    dense = [keras.layers.Dense(UNITS, activation="relu")]
    yield "perceptron", *perceptron(dense, train, test, epochs)
    units = experiment.competing_units(UNITS, k=7, learning_rate=0.04)
    learn(units, train[0], unsupervised)
    first = features(units).layers
    yield "Hebbian first layer", *perceptron(first, train, test, epochs)
    units = experiment.competing_units(UNITS)
    units.build(train[0].shape)
    first = features(units).layers
    yield "random first layer", *perceptron(first, train, test, epochs)


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", REPORTED)
