"""Bounds on the growth of a weight in one batch.

    python examples/lateral_inhibition_bounds.py

A batch multiplies a weight by `1 + learning_rate * sum_b e' o`, clipped to
`LateralInhibitionSparse.GROWTH`. The 100 units of `lateral_inhibition.py`, 40
epochs, with several bounds. Without bounds the first batches, in which all
units are active, set all weights to 0. The exact bounds hardly matter.
"""

import numpy as np

import experiment
from lateral_inhibition import prepared, sparse


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    train, test = prepared(train), prepared(test)
    for low, high in ((0.5, 2), (0.8, 1.25), (0.1, 10), (0, np.inf)):
        yield (
            f"{low:g} to {high:g}",
            *sparse(100, train, test, 2 if quick else 40, growth=(low, high)),
        )


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=None)
