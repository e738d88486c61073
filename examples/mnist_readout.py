"""Competing units and the readout of the paper on MNIST.

    python examples/mnist_readout.py

The readout of Krotov and Hopfield: c = tanh(S h), h = max(currents, 0)^4.5,
targets of 1 and -1, loss |c - t|^6. The currents of an image are scaled to a
root mean square of 1, and the units are frozen while the readout is trained.
Softly competing units with the dense settings of SoftHebb get the same readout,
with `Triangle` before it and a power of 3. Baselines are random units with the
same readout, and a hidden layer of the same size trained by backpropagation.
"""

import keras

import experiment
import keras_hebbian as kh
from experiment import learn

REPORTED = {
    "Krotov and Hopfield 2019, competing units": 0.9854,
}


def soft_units(units: int) -> kh.SoftHebb:
    """Softly competing units for non-negative inputs."""
    return kh.SoftHebb(
        units,
        temperature=1 / 30,
        anti_hebbian=False,
        kernel_initializer=keras.initializers.RandomUniform(0, 2),
    )


def powers(power: float = 4.5) -> list[keras.Layer]:
    """The layers between the units and the readout."""
    return [
        keras.layers.RMSNormalization(trainable=False),
        kh.RectifiedPower(power),
    ]


def features(units: kh.KernelLayer) -> keras.Sequential:
    """The features of frozen units for the readout."""
    units.trainable = False
    inputs = keras.Input((units.kernel.shape[0],))
    if isinstance(units, kh.SoftHebb):  # whose responses are much alike
        return keras.Sequential([inputs, units, kh.Triangle(), *powers(3)])
    return keras.Sequential([inputs, units, *powers()])


def readout(
    units: kh.KernelLayer,
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> tuple[float, dict]:
    """Accuracy and curves of the paper's readout on top of frozen units."""
    loss = kh.PowerLoss(6, from_indices=True)
    return experiment.read_out(
        features(units), "tanh", loss, train, test, epochs, rate=3e-4
    )


def backpropagation(
    units: int, train: experiment.Split, test: experiment.Split, epochs: int
) -> tuple[float, dict]:
    """Accuracy and curves of a hidden layer trained by backpropagation."""
    model = keras.Sequential(
        [
            keras.Input(train[0].shape[1:]),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    history = experiment.fit(model, loss, train, test, epochs, rate=2e-4)
    return experiment.accuracy(model, test), history


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    count, epochs, readout_epochs = (100, 2, 1) if quick else (2000, 100, 60)
    units = experiment.competing_units(count, k=7, learning_rate=0.04)
    learn(units, train[0], epochs)
    yield "competing units", *readout(units, train, test, readout_epochs)
    soft = soft_units(count)
    learn(soft, train[0], epochs=2 if quick else 5, batch_size=32)
    yield "softly competing units", *readout(soft, train, test, readout_epochs)
    units = experiment.competing_units(count)
    units.build(train[0].shape)
    yield "random units", *readout(units, train, test, readout_epochs)
    epochs = 1 if quick else 20
    yield "backpropagation", *backpropagation(count, train, test, epochs)


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", REPORTED)
