"""Samples per second of `model.fit`, beside NumPy and the bare product.

    KERAS_BACKEND=jax python tests/benchmarks/throughput.py [CASE ...]

Times, interleaved in one process and on the same data: whole epochs of `fit`
after warm-up (Keras's own work counts), the paper's loop in NumPy (float64, as
its author wrote it), and the product of the batch with the weights on this
backend, the least that a step must do. Medians; times depend on the machine,
ratios less so.
"""

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import keras_hebbian as kh
import oracles

REPEATS = 5
ON_TORCH = keras.backend.backend() == "torch"  # which runs single steps


class Case(NamedTuple):
    inputs: int
    units: int
    batch_size: int
    layer: dict  # arguments of the layer; with `p`, of competing units
    steps_per_execution: int = 1


CASES = {
    "competing-small": Case(784, 100, 20, {"p": 3, "k": 2}, 20),
    "competing-large": Case(784, 2000, 100, {"p": 3, "k": 7}),
    "competing-large-1000": Case(784, 2000, 1000, {"p": 3, "k": 7}),
    "competing-cifar": Case(3072, 2000, 1000, {"p": 2, "k": 2}),
    "competing-general-p": Case(784, 2000, 100, {"p": 2.5, "k": 7}),
    "sparse-100": Case(784, 100, 100, {"sparsity": 0.01}, 20),
    "sparse-400": Case(784, 400, 100, {"sparsity": 0.0025}, 20),
    "sparse-one-by-one": Case(
        784, 100, 100, {"sparsity": 0.01, "update": "sequential"}, 20
    ),
}


class Batches(keras.utils.PyDataset):
    """Batches as they lie in memory, which saves the gathering of samples."""

    def __init__(self, images: np.ndarray, batch_size: int) -> None:
        super().__init__()
        whole = len(images) // batch_size * batch_size
        self.images = images[:whole].reshape(-1, batch_size, images.shape[1])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        return (self.images[index],)


def fit_arguments(case: Case, images: np.ndarray, tuned: bool) -> dict:
    if not tuned:
        return {"x": images, "batch_size": case.batch_size}
    batches = Batches(images, case.batch_size)
    if keras.backend.backend() != "tensorflow":
        return {"x": batches, "shuffle": False}
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(batches.images)
    return {"x": dataset.prefetch(4), "shuffle": False}


def make_model(
    case: Case, tuned: bool, change: Callable[[type], type] = lambda x: x
) -> keras.Model:
    kind = (
        kh.HebbianCompetitive
        if "p" in case.layer
        else kh.LateralInhibitionSparse
    )
    layer = change(kind)(case.units, **case.layer)
    model = kh.HebbianSequential([keras.Input((case.inputs,)), layer])
    steps = 100 if tuned else case.steps_per_execution
    model.compile(
        steps_per_execution=1 if ON_TORCH else steps,
        jit_compile=(tuned and not ON_TORCH) or "auto",
    )
    return model


def numpy_loop(case: Case, images: np.ndarray) -> None:
    """The paper's loop over the images, in float64."""
    rng = np.random.default_rng(0)
    if "p" in case.layer:
        starts = range(0, len(images), case.batch_size)
        batches = ((0.02, images[i : i + case.batch_size]) for i in starts)
        synapses = rng.normal(size=(case.units, case.inputs))
        oracles.competing_units(synapses, batches, **case.layer, delta=0.4)
    else:
        oracles.lateral_inhibition(
            rng.uniform(0.1, 1, (case.units, case.inputs)),
            np.zeros((case.units, 1)),
            np.zeros((case.units, case.units)),
            images,
            sp=case.layer["sparsity"],
            xi=0.01,
            gamma=1.0,
            beta=5e-4,
        )


def products(case: Case, images: np.ndarray) -> Callable[[], None]:
    """One product of the batch with the weights for every step of an epoch."""
    kernel = np.random.default_rng(0).normal(size=(case.inputs, case.units))
    dense = keras.layers.Dense(case.units, use_bias=False)
    dense.build((None, case.inputs))
    dense.set_weights([kernel])
    batch = keras.ops.convert_to_tensor(images[: case.batch_size])
    call = dense.stateless_call
    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(call)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        call = tf.function(call)
    weights = [variable.value for variable in dense.variables]

    def run() -> None:
        for _ in range(len(images) // case.batch_size):
            outputs, _ = call(weights, [], batch)
        keras.ops.convert_to_numpy(keras.ops.stop_gradient(outputs))

    return run


def rate(samples: int, run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return samples / (time.perf_counter() - start)


def measure(
    case: Case, images: np.ndarray, tuned: bool
) -> dict[str, list[float]]:
    model = make_model(case, tuned)
    arguments = fit_arguments(case, images, tuned)
    few = images[: 20 * case.batch_size if "p" in case.layer else 1000]
    few = few.astype("float64")
    product = products(case, images)

    def fit() -> None:
        model.fit(**arguments, verbose=0)

    fit()
    product()
    rates: dict[str, list[float]] = {"fit": [], "numpy": [], "product": []}
    for _ in range(REPEATS):
        rates["fit"].append(rate(len(images), fit))
        rates["numpy"].append(rate(len(few), lambda: numpy_loop(case, few)))
        rates["product"].append(rate(len(images), product))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", default=list(CASES))
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument(
        "--tuned",
        action="store_true",
        help="ready batches in memory, 100 steps per execution, and XLA, where "
        "the backend has them, instead of a plain array and compile()",
    )
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{keras.backend.backend()}, median of {REPEATS}, samples/s")
    print(
        f"{'case':22}{'fit':>10}{'(spread)':>22}{'NumPy':>9}{'product':>10}"
        f"{'fit/NumPy':>11}{'product/fit':>13}"
    )
    for name in args.cases:
        case = CASES[name]
        # As bright as handwritten digits: four of five pixels are dark.
        shape = (args.samples, case.inputs)
        images = rng.random(shape, dtype="float32")
        images *= rng.random(shape, dtype="float32") < 0.2
        rates = measure(case, images, args.tuned)
        fit, loop, product = (
            statistics.median(rates[key]) for key in ("fit", "numpy", "product")
        )
        spread = f"{min(rates['fit']):.0f} to {max(rates['fit']):.0f}"
        print(
            f"{name:22}{fit:10.0f}{spread:>22}{loop:9.0f}{product:10.0f}"
            f"{fit / loop:11.1f}{product / fit:13.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
