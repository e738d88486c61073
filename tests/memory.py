"""How much the memory of the process grows over many steps of `fit`.

KERAS_BACKEND=jax python tests/memory.py
"""

import keras
import numpy as np

import keras_hebbian as kh


def resident() -> int:
    """Bytes of memory that the process holds, on Linux."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def growth(warm_up: int, steps: int) -> int:
    """Bytes that the process grew by in so many steps after the warm-up."""
    layers = [kh.LateralInhibitionSparse(3), kh.HebbianCompetitive(3)]
    model = kh.HebbianSequential([keras.Input((4,)), *layers])
    model.compile()
    images = np.random.default_rng(0).random((100, 4), dtype="float32")
    model.fit(images, batch_size=1, epochs=warm_up // 100, verbose=0)
    before = resident()
    model.fit(images, batch_size=1, epochs=steps // 100, verbose=0)
    return resident() - before


if __name__ == "__main__":
    print(f"{growth(1000, 10_000) / 1e6:.2f} MB in 10 000 steps")
