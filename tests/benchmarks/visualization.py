"""The share of a training that `WeightVisualization` takes.

    python tests/benchmarks/visualization.py [--data mnist.npz] [--gif]

2000 competing units learn epochs of 600 batches of 100 images, with a picture
of all units after each. What the callback does is timed once the batches
before it are done, which JAX would otherwise finish in the callback's time.
"""

import argparse
import tempfile
import time
from typing import Any

import keras
import numpy as np

import keras_hebbian as kh

UNITS, BATCH_SIZE, STEPS = 2000, 100, 600


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


def load(source: str | None) -> np.ndarray:
    """Flat images: of a data set, or noise of the size of MNIST."""
    if source is None:
        return np.random.default_rng(0).random((60_000, 784), dtype="float32")
    (images, _), _ = kh.datasets.load_data(source)
    return images.reshape(len(images), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="as in load_data (default: noise)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--gif", action="store_true")
    args = parser.parse_args()
    images = load(args.data)[: STEPS * BATCH_SIZE]
    layer = kh.HebbianCompetitive(UNITS, p=3, k=7, learning_rate=0.04)
    model = kh.HebbianSequential([keras.Input(images.shape[1:]), layer])
    model.compile()
    with tempfile.TemporaryDirectory() as directory:
        pictures = Timed(directory, gif=args.gif)
        fit = {"batch_size": BATCH_SIZE, "verbose": 0, "callbacks": [pictures]}
        model.fit(images, epochs=1, **fit)  # compiles, loads fonts
        pictures.seconds = 0.0
        started = time.perf_counter()
        model.fit(images, epochs=args.epochs, **fit)
        seconds = time.perf_counter() - started
    training = (seconds - pictures.seconds) / args.epochs
    each = pictures.seconds / args.epochs
    print(
        f"{keras.backend.backend()}: an epoch of {len(images) // BATCH_SIZE} "
        f"steps {training:.2f} s, its picture {1e3 * each:.0f} ms, "
        f"{each / training:.1%} of the training"
    )


if __name__ == "__main__":
    main()
