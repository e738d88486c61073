"""Trains with backups, and dies in the middle of an epoch.

    python tests/interrupted.py FOLDER EPOCH|whole [LAYER]

With the number of a layer it trains layer by layer, and dies while that layer
learns, or after its last epoch. With `whole` it finishes the training run,
repeats it without any interruption, and writes the weights of both.
"""

import functools
import os
import pathlib
import signal
import sys

import keras
import numpy as np

import keras_hebbian as kh

IMAGES = np.random.default_rng(0).random((36, 6), dtype="float32")
EPOCHS = 3
SETTINGS = {"batch_size": 8, "shuffle": False, "verbose": 0}


class Dies(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_end(self, logs=None):
        if self.epoch == EPOCHS:
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


def fit(backup_dir=None, dies=()):
    model = make_model()
    callbacks = [*dies, kh.LinearRateDecay()]
    if backup_dir is not None:
        backup = keras.callbacks.BackupAndRestore(
            backup_dir, double_checkpoint=True
        )
        callbacks = [backup, *callbacks]
    model.fit(IMAGES, epochs=EPOCHS, callbacks=callbacks, **SETTINGS)
    return weights_of(model)


def fit_layerwise(place, backup_dir=None, dies=()):
    model = make_model()

    def callbacks(layer, x):
        used = list(dies) if layer is model.layers[place] else []
        if layer.decayable_rates():
            used.append(kh.LinearRateDecay())
        return used

    kh.fit_layerwise(
        model,
        IMAGES,
        epochs=EPOCHS,
        callbacks=callbacks,
        backup_dir=backup_dir,
        **SETTINGS,
    )
    return weights_of(model)


def weights_of(model):
    return {
        f"{place}_{weight.name}": keras.ops.convert_to_numpy(weight)
        for place, layer in enumerate(model.layers)
        for weight in layer.weights
    }


def main(folder, epoch, layer=None):
    train = fit
    if layer is not None:
        train = functools.partial(fit_layerwise, int(layer))
    backup_dir = str(folder / "backup")
    if epoch != "whole":
        train(backup_dir, [Dies(int(epoch))])
        sys.exit("Expected to be dead by now.")
    np.savez(folder / "resumed.npz", **train(backup_dir))
    np.savez(folder / "whole.npz", **train())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
