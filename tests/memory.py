"""How much the memory of a process grows over many steps of `fit`.

KERAS_BACKEND=jax python tests/memory.py

A leak takes as much in every stretch of steps; what the backend takes once in a
while, for its threads and caches, it does not. So the least of several
stretches is printed, in bytes. A process of its own holds nothing that others
give back or take in the meantime.
"""

import keras
import numpy as np

import keras_hebbian as kh

WARM_UP, STEPS, STRETCHES = 500, 1000, 4


def resident() -> int:
    """Bytes of memory that the process holds, on Linux."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def growth() -> int:
    """Growth of the process in bytes over some steps after the warm-up."""
    layers = [kh.LateralInhibitionSparse(3), kh.HebbianCompetitive(3)]
    model = kh.HebbianSequential([keras.Input((4,)), *layers])
    model.compile()
    images = np.random.default_rng(0).random((100, 4), dtype="float32")

    def learn(steps: int) -> int:
        model.fit(images, batch_size=1, epochs=steps // 100, verbose=0)
        return resident()

    held = [learn(WARM_UP), *(learn(STEPS) for _ in range(STRETCHES))]
    return min(int(step) for step in np.diff(held))


if __name__ == "__main__":
    print(growth())
