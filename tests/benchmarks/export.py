"""The cost of a learning step after export, and the size of an export.

    KERAS_BACKEND=tensorflow python tests/benchmarks/export.py

The wall time of a step of an exported learner as a share of that of `fit`, and
the size of the export as a share of that of the weights. `fit` and the learners
learn the same images in one process, in turns: the medians of all turns. A
learner returns to Python after every step, which `fit` does after 20.
"""

import functools
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
import experiment
import keras_hebbian as kh

LAYERS = {
    "competing, 100 units, batch 20": (kh.HebbianCompetitive, 100, 20),
    "competing, 2000 units, batch 100": (kh.HebbianCompetitive, 2000, 100),
    "sparse, 100 units, batch 100": (kh.LateralInhibitionSparse, 100, 100),
}
TURNS = 7


def saved_model(path: pathlib.Path) -> Callable:
    """The step of a SavedModel."""
    import tensorflow as tf

    learner = tf.saved_model.load(str(path))
    return lambda batch: learner.learn(batch)  # keeps the learner


def litert(path: pathlib.Path) -> Callable:
    """The step of a LiteRT file."""
    from ai_edge_litert.interpreter import Interpreter

    learn = Interpreter(str(path)).get_signature_runner("learn")
    return lambda batch: learn(inputs=batch)


RUNTIMES = {"tf_saved_model": saved_model, "litert": litert}


def fit(model: keras.Model, batches: list[np.ndarray]) -> None:
    """Learns from batches as a model does."""
    images, size = np.concatenate(batches), len(batches[0])
    model.fit(images, batch_size=size, verbose=0)


def learn(step: Callable, batches: list[np.ndarray]) -> None:
    """Learns from batches as a learner does."""
    for batch in batches:
        step(batch)


def medians(
    learners: dict[str, Callable], batches: list[np.ndarray], turns: int
) -> dict[str, float]:
    """Seconds of each for all batches. The first turn compiles."""
    seconds = {name: [] for name in learners}
    for _ in range(1 + turns):
        for name, each in learners.items():
            start = time.perf_counter()
            each(batches)
            seconds[name].append(time.perf_counter() - start)
    return {x: statistics.median(y[1:]) for x, y in seconds.items()}


def size(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path, *path.rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    for name, (layer, units, batch) in LAYERS.items():
        images = train[0][: batch * (5 if quick else 100)].astype("float32")
        batches = np.split(images, range(batch, len(images), batch))
        inputs = keras.Input(images.shape[1:])
        model = kh.HebbianSequential([inputs, layer(units)])
        model.compile(steps_per_execution=20)
        learners = {"fit": functools.partial(fit, model)}
        sizes = {}
        with tempfile.TemporaryDirectory() as folder:
            for format, load in RUNTIMES.items():
                path = pathlib.Path(folder, format)
                kh.export_learner(model, path, batch, format=format)
                sizes[format] = size(path) / (4 * model.count_params())
                learners[format] = functools.partial(learn, load(path))
            seconds = medians(learners, batches, 1 if quick else TURNS)
        measured = {
            **{f"{x}, size / weights": sizes[x] for x in RUNTIMES},
            **{
                f"{x}, time / fit": seconds[x] / seconds["fit"]
                for x in RUNTIMES
            },
        }
        yield name, measured, None


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=None)
