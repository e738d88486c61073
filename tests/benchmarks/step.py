"""The cost of the parts of a step.

    KERAS_BACKEND=jax python tests/benchmarks/step.py

One step of 2000 competing units on batches of MNIST, p = 3 and k = 7, part by
part: the time of each, compiled by itself, as a share of the time of the bare
product of the batch with the kernel. Without a compiler each part writes its
result to memory, where a whole step may keep it. The sums over winners are
compared with the product that the notebook's loop uses for them.
"""

import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
import experiment
from keras_hebbian._backend import columns_together
from keras_hebbian.rules import competitive

P, K, DELTA, UNITS = 3, 7, 0.4, 2000


def compiled(part: Callable) -> Callable:
    """The part as the backend runs it, which returns when it is done."""
    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(part)
        return lambda *args: jax.block_until_ready(call(*args))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(part)
    return part


def dense_direction(inputs: Any, kernel: Any, currents: Any, units: Any) -> Any:
    """The direction by a product, as the notebook's loop finds it."""
    winner, rival = (
        ops.one_hot(units[place], UNITS, dtype="float32") for place in (0, 1)
    )
    activity = winner - DELTA * rival
    decay = ops.sum(activity * currents, axis=0)
    return ops.transpose(inputs) @ activity - decay * kernel


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    kernel = columns_together(keras.random.normal((train[0].shape[1], UNITS)))
    for batch in (100, 1000):
        inputs = ops.convert_to_tensor(train[0][:batch])
        currents = competitive.currents(inputs, kernel, P)
        units, drives = competitive.compete(currents, K)
        direction = competitive.direction(inputs, kernel, units, drives, DELTA)
        parts = {
            "the bare product": (lambda x, w: x @ w, inputs, kernel),
            "currents": (
                lambda x, w: competitive.currents(x, w, P),
                inputs,
                kernel,
            ),
            "competition": (lambda c: competitive.compete(c, K), currents),
            "direction, by sums over winners": (
                lambda *args: competitive.direction(*args, DELTA),
                inputs,
                kernel,
                units,
                drives,
            ),
            "direction, by a product": (
                dense_direction,
                inputs,
                kernel,
                currents,
                units,
            ),
            "update": (
                lambda w, d: competitive.step(
                    w, d, competitive.scale(d, 0.02, 1e-30)
                ),
                kernel,
                direction,
            ),
            "report, once per epoch": (
                lambda w: competitive.norms(w, P),
                kernel,
            ),
        }
        calls = {
            name: (compiled(part), args)
            for name, (part, *args) in parts.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(3 if quick else 40):
            for name, (call, args) in calls.items():
                start = time.perf_counter()
                call(*args)
                seconds[name].append(time.perf_counter() - start)
        product = statistics.median(seconds["the bare product"])
        for name, each in seconds.items():
            share = statistics.median(each) / product
            yield f"batch {batch}: {name}", {"time / product": share}, None


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=None)
