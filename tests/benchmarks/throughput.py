"""Samples per second of `fit`, NumPy, the bare product and peers.

    python tests/benchmarks/throughput.py

Each case runs on each backend that is installed, in a process of its own with
the same number of threads. It measures in turns, on the same data: whole
epochs of `fit` on an array after its first epoch, with all of Keras's own work;
the notebook's loop in NumPy, in float64 as its author wrote it and in float32;
and the product of the batch with the weights on this backend, the least that a
step must do. The cases `samples` read their array from a file that is mapped to
memory. With `--tuned`, ten or a hundred steps run per execution, where the
backend has it, and XLA compiles sparse units on TensorFlow, too; with
`--default`, `compile()` gets no arguments. Without either, both are measured,
but the cases `growth` and `samples` with `--default` only.
Peers that are installed run alongside the same loop: scikit-learn's
`MiniBatchKMeans.partial_fit`, MiniSom, and the rule as a dense update in plain
torch. Medians of five turns. A comparison with NumPy is the median of the
ratios within a turn, with their quartiles. Memory is the growth in peak memory
during the first `fit` (including compilation) over the peak after creating the
data and the model.

Timings are meaningful only on an idle machine: before each case the script
measures for a second how busy all cores are, and warns above 5 %.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import psutil

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import oracles

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "results"
OUTPUT = RESULTS / "benchmarks" / "throughput.json"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
PEERS = {"scikit-learn": "k-means", "minisom": "MiniSom"}
SETTINGS = ["default", "tuned"]
TURNS = 5
QUIET = 5
"""The most percent of all cores that others may use."""


class Case(NamedTuple):
    inputs: int
    units: int
    batch_size: int
    layer: dict  # arguments of the layer; with `p`, of competing units
    steps_per_execution: int = 10
    samples: int | None = None
    mapped: bool = False  # whether the array is mapped to a file
    epochs: int = 2


LARGE = {"p": 3, "k": 7}
CASES = {
    "quickstart": Case(64, 100, 20, {"p": 2, "k": 2}, samples=1440, epochs=20),
    "competing-small": Case(784, 100, 20, {"p": 3, "k": 2}, 100),
    "competing-large": Case(784, 2000, 100, LARGE),
    "competing-large-1000": Case(784, 2000, 1000, LARGE),
    "competing-cifar": Case(3072, 2000, 1000, {"p": 2, "k": 2}),
    "competing-general-p": Case(784, 2000, 100, {"p": 2.5, "k": 7}),
    "competing-bfloat16": Case(
        784, 2000, 1000, {**LARGE, "dtype": "mixed_bfloat16"}
    ),
    "sparse-100": Case(784, 100, 100, {"sparsity": 0.01}, 100),
    "sparse-400": Case(784, 400, 100, {"sparsity": 0.0025}, 100),
    "sparse-one-by-one": Case(
        784, 100, 100, {"sparsity": 0.01, "update": "sequential"}, 100
    ),
    **{
        f"growth-{inputs}x{units}": Case(inputs, units, 100, {"p": 3, "k": 2})
        for inputs, units in (
            *((784, units) for units in (250, 1000, 4000, 16000)),
            *((inputs, 1000) for inputs in (64, 256, 1024, 4096, 12288)),
        )
    },
    **{
        f"growth-batch-{size}": Case(784, 1000, size, {"p": 3, "k": 2})
        for size in (1, 10, 1000, 10_000)
    },
    **{
        f"samples-10^{power}": Case(
            64, 100, 250, {"p": 3, "k": 2}, samples=10**power, mapped=True
        )
        for power in (3, 4, 5, 6)
    },
}
GROWTH = ("growth", "samples")
WITH_PEERS = ("competing-small", "competing-large")


def images_of(case: Case) -> np.ndarray:
    """As bright as handwritten digits: four of five pixels are dark."""
    weights = case.inputs * case.units
    most = min(20_000, 2000 * case.batch_size)
    samples = np.clip(2e10 / weights, 10 * case.batch_size, most)
    samples = int(samples) // case.batch_size * case.batch_size
    shape = (case.samples or samples, case.inputs)
    if case.mapped:
        with tempfile.TemporaryFile() as file:
            images = np.memmap(file, "float32", shape=shape)
    else:
        images = np.empty(shape, "float32")
    rng = np.random.default_rng(0)
    rng.random(out=images, dtype="float32")
    images *= rng.random(shape, dtype="float32") < 0.2
    return images


def fit_of(case: Case, images: np.ndarray, tuned: bool) -> Callable[[], float]:
    """A `fit`, which returns the seconds of an epoch after the first."""
    import keras

    import keras_hebbian as kh

    if "p" in case.layer:
        layer = kh.HebbianCompetitive(
            case.units,
            delta=0.4,
            learning_rate=0.02,
            min_norm=0,
            kernel_initializer=keras.initializers.RandomNormal(0.0, 1.0),
            **case.layer,
        )
    else:
        layer = kh.LateralInhibitionSparse(
            case.units,
            learning_rate=0.01,
            threshold_rate=1.0,
            inhibition_rate=5e-4,
            norm=None,
            kernel_initializer=keras.initializers.RandomUniform(0.1, 1.0),
            **case.layer,
        )
    model = kh.HebbianSequential([keras.Input((case.inputs,)), layer])
    by = keras.backend.backend()
    sparse_on_tensorflow = "p" not in case.layer and by == "tensorflow"
    settings = {
        "steps_per_execution": 1 if by == "torch" else case.steps_per_execution,
        "jit_compile": True if sparse_on_tensorflow else "auto",
    }
    model.compile(**settings if tuned else {})

    def run() -> float:
        ends = []
        clock = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
        )
        model.fit(
            images,
            batch_size=case.batch_size,
            epochs=case.epochs,
            callbacks=[clock],
            verbose=0,
        )
        return (ends[-1] - ends[0]) / (case.epochs - 1)

    return run


def timed(run: Callable[[], Any]) -> Callable[[], float]:
    """The run, which returns its seconds."""

    def seconds() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return seconds


def loop_of(case: Case, images: np.ndarray, dtype: str) -> Callable[[], Any]:
    """The notebook's loop over the images."""
    rng = np.random.default_rng(0)
    images = images.astype(dtype)
    shape = (case.units, case.inputs)
    if "p" in case.layer:
        starts = range(0, len(images), case.batch_size)
        batches = [(0.02, images[i : i + case.batch_size]) for i in starts]
        synapses = rng.normal(size=shape).astype(dtype)
        rule = {name: case.layer[name] for name in ("p", "k")}
        return lambda: oracles.competing_units(
            synapses, batches, **rule, delta=0.4
        )
    state = (
        rng.uniform(0.1, 1, shape).astype(dtype),
        np.zeros((case.units, 1), dtype),
        np.zeros((case.units, case.units), dtype),
    )
    rates = {"xi": 0.01, "gamma": 1.0, "beta": 5e-4}
    return lambda: oracles.lateral_inhibition(
        *state, images, sp=case.layer["sparsity"], **rates
    )


def product_of(case: Case, images: np.ndarray) -> Callable[[], None]:
    """One product of the batch with the weights for every step of an epoch."""
    import keras

    dense = keras.layers.Dense(case.units, use_bias=False)
    dense.build((None, case.inputs))
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


def peer_of(name: str, case: Case, images: np.ndarray) -> Callable[[], Any]:
    """An epoch of a peer."""
    starts = range(0, len(images), case.batch_size)
    batches = [images[i : i + case.batch_size] for i in starts]
    if name == "scikit-learn":
        from sklearn.cluster import MiniBatchKMeans

        means = MiniBatchKMeans(case.units, n_init=1, random_state=0)
        means.partial_fit(images[: case.units])
        return lambda: [means.partial_fit(batch) for batch in batches]
    if name == "minisom":
        from minisom import MiniSom

        som = MiniSom(case.units // 10, 10, case.inputs, random_seed=0)
        return lambda: som.train_batch(images, len(images))
    import torch

    kernel = torch.randn(case.inputs, case.units)
    tensors = [torch.from_numpy(batch) for batch in batches]

    def run() -> None:
        for batch in tensors:
            powered = kernel.sign() * kernel.abs() ** (case.layer["p"] - 1)
            currents = batch @ powered
            ranked = currents.topk(case.layer["k"]).indices
            activity = torch.zeros_like(currents)
            activity.scatter_(1, ranked[:, :1], 1.0)
            activity.scatter_(1, ranked[:, -1:], -0.4)
            direction = batch.T @ activity
            direction -= (activity * currents).sum(0) * kernel
            kernel.add_(direction, alpha=0.02 / float(direction.abs().max()))

    return run


def measure(name: str, by: str, settings: str) -> dict:
    """Samples per second of a case by a backend or peer, and its memory."""
    case = CASES[name]
    busy = psutil.cpu_percent(interval=1)
    if busy > QUIET:
        print(f"{busy:.0f} % of the cores are busy.", file=sys.stderr)
    images = images_of(case)
    some = 1000  # of the loops, which take long
    if "p" in case.layer:
        some = max(case.batch_size, int(2e9 / (case.inputs * case.units)))
    few = images[:some]
    loops = {
        dtype: (len(few), timed(loop_of(case, few, dtype)))
        for dtype in ("float64", "float32")
    }
    if by == "minisom":  # which takes one sample at a time
        images = images[: 100_000 // case.units]
    if by in BACKENDS:
        whole = {
            "fit": fit_of(case, images, settings == "tuned"),
            "product": timed(product_of(case, images)),
        }
    else:
        whole = {"fit": timed(peer_of(by, case, images))}
        del loops["float32"]
    runs = {kind: (len(images), run) for kind, run in whole.items()} | loops
    before = peak_memory()
    runs["fit"][1]()
    memory = peak_memory() - before
    for _, run in runs.values():
        run()
    rates: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(TURNS):
        for kind, (samples, run) in runs.items():
            rates[kind].append(round(samples / run(), 1))
    return {
        "case": name,
        "by": by,
        "settings": settings if by in BACKENDS else None,
        "busy": busy,
        **rates,
        "memory": memory,
    }


def peak_memory() -> int:
    """The most memory that the process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def apart(name: str, by: str, settings: str, threads: int) -> dict:
    """`measure` in a process of its own."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": by if by in BACKENDS else "torch",
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, __file__, "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--apart", name, by, settings],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def quartiles(
    figure: dict, kind: str, other: str
) -> tuple[float, float, float] | None:
    """Median, first and third quartile of the ratios within each turn."""
    if kind not in figure or other not in figure:
        return None
    ratios = np.divide(figure[kind], figure[other])
    return tuple(np.percentile(ratios, [50, 25, 75]))


def table(figures: list[dict]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| case | inputs x units, batch | by | samples/s "
        "| x NumPy, float64 | x NumPy, float32 | time / product | memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        times = [
            "{:.1f} ({:.1f} to {:.1f})".format(*ratios) if ratios else ""
            for ratios in (
                quartiles(figure, "fit", "float64"),
                quartiles(figure, "fit", "float32"),
                quartiles(figure, "product", "fit"),
            )
        ]
        by = {**BACKENDS, **PEERS}.get(figure["by"], "plain torch, dense")
        if figure.get("settings"):
            by += f", {figure['settings']}"
        case = CASES[figure["case"]]
        cells = [
            figure["case"],
            f"{case.inputs} x {case.units}, {case.batch_size}",
            by,
            f"{statistics.median(figure['fit']):,.0f}",
            *times,
            f"{figure['memory'] / 1e6:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all")
    for each in SETTINGS:
        parser.add_argument(
            f"--{each}", dest="settings", action="append_const", const=each
        )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--output", type=pathlib.Path, help=f"default, of all cases: {OUTPUT}"
    )
    parser.add_argument("--apart", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.apart:
        print(json.dumps(measure(*args.apart)))
        return
    if hasattr(os, "sched_setaffinity"):  # what XLA and TensorFlow go by
        cores = sorted(os.sched_getaffinity(0))[: args.threads]
        os.sched_setaffinity(0, cores)
    packages = {
        package
        for each in importlib.metadata.packages_distributions().values()
        for package in map(str.lower, each)
    }
    installed = [name for name in (*BACKENDS, *PEERS) if name in packages]
    settings = args.settings or SETTINGS
    figures = []
    for name in args.cases or CASES:
        for by in [*installed, "dense"]:
            if by not in BACKENDS and name not in WITH_PEERS:
                continue
            once = by not in BACKENDS or name.startswith(GROWTH)
            for each in settings[:1] if once else settings:
                figures.append(apart(name, by, each, args.threads))
                print(table(figures[-1:]).splitlines()[-1], flush=True)
    print(f"\n{table(figures)}")
    output = args.output or (None if args.cases else OUTPUT)
    if output is not None:
        results = {
            "command": "python tests/benchmarks/throughput.py",
            "date": datetime.date.today().isoformat(),
            "backend": None,  # but all
            "cpu_cores": args.threads,
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("keras", "keras-hebbian", "numpy", *installed)
            },
            "seeds": [0],
            "figures": figures,
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
