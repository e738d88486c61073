"""The cost of drawing the weights.

    KERAS_BACKEND=jax python tests/benchmarks/visualization.py

The time that `WeightVisualization` takes for a picture of all units after each
epoch of 600 batches, as a share of the training time. The callback is timed
after the batches before it are done, which JAX would otherwise finish in the
callback's time.
"""

import pathlib
import sys
import tempfile
import time
from typing import Any

import keras

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
import experiment
import keras_hebbian as kh


class Timed(kh.WeightVisualization):
    """Sums up its own time."""

    seconds = 0.0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        keras.ops.convert_to_numpy(self.model.layers[0].kernel)
        started = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        self.seconds += time.perf_counter() - started

    def on_train_end(self, logs: Any = None) -> None:
        started = time.perf_counter()
        super().on_train_end(logs)
        self.seconds += time.perf_counter() - started


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    units, epochs = (100, 1) if quick else (2000, 2)
    images = train[0][:60_000]
    layer = experiment.competing_units(units, k=7, learning_rate=0.04)
    model = kh.HebbianSequential([keras.Input(images.shape[1:]), layer])
    model.compile()
    with tempfile.TemporaryDirectory() as directory:
        pictures = Timed(directory)
        fit = {"batch_size": 100, "verbose": 0, "callbacks": [pictures]}
        model.fit(images, epochs=1, **fit)  # compiles, loads fonts
        pictures.seconds = 0.0
        started = time.perf_counter()
        model.fit(images, epochs=epochs, **fit)
        seconds = time.perf_counter() - started
    share = pictures.seconds / (seconds - pictures.seconds)
    yield f"{units} units", {"share of the time": share}, None


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=None)
