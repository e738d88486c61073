"""One fit, two ways of learning: Hebbian units below, backpropagation above.

    python examples/hybrid.py

A standard `keras.Sequential` in which competing units learn by their rule
while the readout on top of them trains by backpropagation, compared with the
same model in two phases: first the units without labels, then the readout.
"""

import keras

import experiment
import keras_hebbian as kh
from experiment import learn
from mnist_readout import powers


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    count, epochs = (100, 2) if quick else (500, 40)
    loss = kh.PowerLoss(6, from_indices=True)

    def competing() -> kh.HebbianCompetitive:
        return experiment.competing_units(count, k=7, learning_rate=0.04)

    def fit(units: keras.Layer) -> tuple[float, dict]:
        model = keras.Sequential(
            [units, *powers(), experiment.ten_outputs("tanh")]
        )
        history = experiment.fit(
            model,
            loss,
            train,
            test,
            epochs,
            rate=3e-4,
            callbacks=[kh.LinearRateDecay()],
        )
        return experiment.accuracy(model, test), history

    yield "both in one fit", *fit(competing())
    units = competing()
    learn(units, train[0], epochs)
    units.trainable = False
    yield "units first, then the readout", *fit(units)
    units = competing()
    units.trainable = False
    yield "random units and the readout", *fit(units)


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {})
