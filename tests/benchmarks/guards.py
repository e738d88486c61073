"""The cost of the checks for bad batches.

    KERAS_BACKEND=jax python tests/benchmarks/guards.py

The CPU time of `fit` beyond that of `fit` without the checks of a batch and of
the new weights. Two models, with and without them, learn the same images in one
process, in turns: the median of the ratios of neighbouring turns.
"""

import pathlib
import sys
import time

import keras
import numpy as np
from keras import ops

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
import experiment
import keras_hebbian as kh

LAYERS = {
    "competing, 2000 units": (
        kh.HebbianCompetitive,
        2000,
        {**experiment.paper_settings(), "k": 7},
    ),
    "sparse, 100 units": (
        kh.LateralInhibitionSparse,
        100,
        {"sparsity": 0.01, "norm": None},
    ),
}
TURNS = 7


def unguarded(layer: type) -> type:
    """The layer without its checks of the batch and of the new weights."""

    class Unguarded(layer):
        def sound(self, inputs: object, learned: dict) -> object:
            return ops.ones((), "bool")

    return Unguarded


def make_model(layer: kh.LocalLearningLayer, inputs: int) -> keras.Model:
    model = kh.HebbianSequential([keras.Input((inputs,)), layer])
    on_torch = keras.backend.backend() == "torch"  # which runs single steps
    model.compile(steps_per_execution=1 if on_torch else 20)
    return model


def seconds(model: keras.Model, images: np.ndarray) -> float:
    start = time.process_time()
    model.fit(images, batch_size=100, epochs=10, verbose=0)
    return time.process_time() - start


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    images = train[0][: 200 if quick else 2000]
    for name, (layer, units, arguments) in LAYERS.items():
        models = [
            make_model(each(units, **arguments), images.shape[1])
            for each in (layer, unguarded(layer))
        ]
        ratios = []
        for _ in range(2 if quick else 1 + TURNS):
            guarded, bare = (seconds(model, images) for model in models)
            ratios.append(guarded / bare)
        yield name, {"cost": np.median(ratios[1:]) - 1}, None  # 1 compiles


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=None)
