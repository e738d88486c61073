"""Accuracy and speed under mixed policies, beside float32.

    KERAS_BACKEND=jax python tests/benchmarks/mixed_precision.py mnist.npz

100 competing units, as in `examples/mnist_competitive.py` but for fewer epochs;
the unit with the largest cosine decides. The same seeds for every policy.
"""

import argparse
import pathlib
import sys
import time

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
import keras_hebbian as kh
from mnist_competitive import UNITS, learn, winner_model

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def accuracy(kernel: np.ndarray, train: tuple, test: tuple) -> float:
    unit_norm = kernel / np.linalg.norm(kernel, axis=0)
    scores = winner_model(unit_norm, train).predict(test[0], verbose=0)
    return np.mean(scores.argmax(axis=-1) == test[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", help="an .npz or .mat file of MNIST")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    train, test = (
        (images.reshape(len(images), -1), labels)
        for images, labels in kh.datasets.load_data(args.data)
    )
    print(f"{keras.backend.backend()}, {args.epochs} epochs, {args.seeds}")
    for policy in POLICIES:
        reached = []
        start = time.perf_counter()
        for seed in args.seeds:
            keras.utils.set_random_seed(seed)
            layer = kh.HebbianCompetitive(
                UNITS, p=3, k=2, delta=0.4, learning_rate=0.04, dtype=policy
            )
            learn(layer, train[0], args.epochs)
            assert int(layer.skipped) == 0
            reached.append(accuracy(layer.get_weights()[0], train, test))
        seconds = (time.perf_counter() - start) / len(args.seeds)
        print(
            f"{policy:15}{np.mean(reached):8.2%} +- {np.std(reached):.2%}"
            f"  {[f'{value:.2%}' for value in reached]}  {seconds:.0f} s a run",
            flush=True,
        )


if __name__ == "__main__":
    main()
