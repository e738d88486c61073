"""Accuracy under mixed precision.

    KERAS_BACKEND=jax python tests/benchmarks/mixed_precision.py

The 100 competing units of `examples/mnist_competitive.py` after 20 epochs; the
unit with the largest cosine decides. Every policy starts from the same seeds.
"""

import pathlib
import random
import sys

import keras

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
import experiment
from experiment import learn, unit_norm, winner_model
from mnist_competitive import competing


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    seed = random.randrange(2**31)
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        keras.utils.set_random_seed(seed)
        units = competing(dtype=policy)
        learn(units, train[0], 2 if quick else 20)
        assert int(units.skipped) == 0
        by_cosine = winner_model(unit_norm(units.get_weights()[0]), train)
        yield policy, experiment.accuracy(by_cosine, test), None


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=None)
