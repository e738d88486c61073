"""What the guards against bad batches cost: `fit` with and without them.

    KERAS_BACKEND=jax python tests/benchmarks/guards.py [CASE ...]

Both models learn the same data in one process, in turns. Prints the median
and the quartiles of the ratios of neighbouring epochs.
"""

import sys
import time

import keras
import numpy as np
from keras import ops
from throughput import CASES, make_model

REPEATS = 7


def unguarded(layer: type) -> type:
    """The layer without its checks of the batch and of the new weights."""

    class Unguarded(layer):
        def sound(self, inputs: object, learned: dict) -> object:
            return ops.ones((), "bool")

    return Unguarded


def seconds(model: keras.Model, images: np.ndarray, batch_size: int) -> float:
    start = time.process_time()
    model.fit(images, batch_size=batch_size, epochs=10, verbose=0)
    return time.process_time() - start


def main() -> None:
    for name in sys.argv[1:] or ["competing-large", "sparse-100"]:
        case = CASES[name]
        shape = (20 * case.batch_size, case.inputs)
        images = np.random.default_rng(0).random(shape, dtype="float32")
        models = [make_model(case, False), make_model(case, False, unguarded)]
        ratios = []
        for _ in range(REPEATS):
            with_guards, without = (
                seconds(model, images, case.batch_size) for model in models
            )
            ratios.append(with_guards / without)
        low, median, high = np.quantile(ratios[1:], [0.25, 0.5, 0.75])
        print(
            f"{keras.backend.backend():12}{name:18}"
            f"{median - 1:+8.1%}  ({low - 1:+.1%} to {high - 1:+.1%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
