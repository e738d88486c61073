"""Units on a grid, whose neighbours excite each other, learn MNIST.

    python examples/topography.py

400 units of `LateralInhibitionSparse` with `learning_rate=0.1` and otherwise
default arguments, and 400 with `topography=(20, 20)` in addition. Each unit
gets the class that it wins most often on the training images, and the winner
among the outputs classifies the test images. The correlations are those of the
weights of neighbours, and of 10,000 random pairs of units, on average; without
a grid the units are taken in the same rows and columns.
"""

import keras
import numpy as np
from matplotlib.figure import Figure

import experiment
import keras_hebbian as kh
from experiment import learn

SHAPE = (20, 20)


def correlations(
    kernel: np.ndarray, shape: tuple[int, ...]
) -> dict[str, float]:
    """Mean correlations of the weights of neighbours and of random pairs."""
    found = np.corrcoef(kernel.T)
    near = kh.SelfOrganizingMap(shape).grid.adjacency
    pairs = np.random.default_rng(0).integers(0, len(found), (10_000, 2))
    one, other = pairs[pairs[:, 0] != pairs[:, 1]].T
    return {
        "correlation of neighbours": found[near].mean(),
        "correlation of random pairs": found[one, other].mean(),
    }


def measure(
    layer: kh.LateralInhibitionSparse,
    shape: tuple[int, ...],
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> tuple[dict[str, float], np.ndarray]:
    """Accuracy and correlations of units that learned, and their kernel."""
    model = learn(layer, train[0], epochs, verbose=2)
    classifier = kh.WinnerClassifier(10)
    classifier.adapt(model.predict(train[0], verbose=0), train[1])
    winners = keras.Sequential([*model.layers, classifier])
    kernel = layer.get_weights()[0]
    accuracy = experiment.accuracy(winners, test)
    return {"accuracy": accuracy, **correlations(kernel, shape)}, kernel


def maps(kernels: dict[str, np.ndarray]) -> Figure:
    """Units on a grid whose neighbours excite each other"""
    kernel = kernels["on a grid"]
    side = round(kernel.shape[1] ** 0.5)
    return kh.plotting.plot_weights(kernel, rows=side, columns=side)


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    shape, epochs = ((5, 5), 2) if quick else (SHAPE, 10)
    for name, topography in (("no grid", None), ("on a grid", shape)):
        layer = kh.LateralInhibitionSparse(
            shape[0] * shape[1],
            learning_rate=0.1,
            topography=topography,
            activation="linear",  # the logits: their winner is never a tie
        )
        yield name, *measure(layer, shape, train, test, epochs)


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=maps)
