"""Trains with backups, and dies in the middle of an epoch.

    python tests/interrupted.py FOLDER EPOCH|whole

With `whole` it lives: ends the training, does it all once more without any
interruption, and writes the weights of both.
"""

import os
import pathlib
import signal
import sys

import keras
import numpy as np

import keras_hebbian as kh

IMAGES = np.random.default_rng(0).random((36, 6), dtype="float32")
EPOCHS, BATCH = 3, 8


class Dies(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def make_model():
    """Layers of both kinds, with rates that are annealed, and schedules."""
    keras.utils.set_random_seed(3)
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 30)
    layers = [
        kh.HebbianCompetitive(8, learning_rate=0.05, activation="sigmoid"),
        kh.LateralInhibitionSparse(7, learning_rate=schedule),
        kh.LateralInhibitionSparse(6, learning_rate=0.1),
        kh.HebbianCompetitive(5, learning_rate=schedule),
    ]
    model = kh.HebbianSequential([keras.Input((6,)), *layers])
    model.compile()
    return model


def fit(*callbacks):
    model = make_model()
    model.fit(
        IMAGES,
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        callbacks=[*callbacks, kh.LinearRateDecay()],
        verbose=0,
    )
    return {
        f"{place}_{weight.name}": keras.ops.convert_to_numpy(weight)
        for place, layer in enumerate(model.layers)
        for weight in layer.weights
    }


def main(folder, epoch):
    backup = keras.callbacks.BackupAndRestore(
        folder / "backup", double_checkpoint=True
    )
    if epoch != "whole":
        fit(backup, Dies(int(epoch)))
        sys.exit("Expected to be dead by now.")
    np.savez(folder / "resumed.npz", **fit(backup))
    np.savez(folder / "whole.npz", **fit())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
