"""How `fit` without a loss runs its steps, where `compile` leaves it open."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_hebbian._backend import on_cpu
from keras_hebbian._programs import (
    jax_execution,
    row_batches,
    tensorflow_execution,
)
from keras_hebbian.layers.local_learning import LocalLearningLayer

KERAS_VERSION = tuple(map(int, keras.version().split(".")[:2]))
STEPS_PER_EXECUTION = 20
TUNED_FROM = 100  # batches per epoch; for fewer, compiling takes too long
ROWS_UP_TO = 1_000_000  # samples, because shuffled indices take memory

_BATCH_SIZE = 32  # of `fit` in Keras
_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
)
_FOR_ROWS = {  # arguments of `fit` that do not need the array
    "x",
    "batch_size",
    "epochs",
    "verbose",
    "callbacks",
    "shuffle",
    "initial_epoch",
}


def steps_of_execution(
    model: keras.Model, given: dict[str, Any], callbacks: Any
) -> int:
    """The `steps_per_execution` of a `fit` with the given arguments."""
    several = (
        model.loss is None
        and not model.run_eagerly
        and keras.backend.backend() != "torch"  # runs single steps
        and keras.distribution.distribution() is None
        and _batches_of(given) >= TUNED_FROM
        and not any(map(_needs_batches, callbacks))
    )
    return STEPS_PER_EXECUTION if several else 1


def takes_rows(model: keras.Model, given: dict[str, Any]) -> bool:
    """Whether the step itself may take its batch from the array.

    Only on TensorFlow and a CPU: the data pipelines of JAX and torch are
    cheap, and that of TensorFlow runs while a GPU computes.
    """
    x = given.get("x")
    return (
        keras.backend.backend() == "tensorflow"
        and model.compiled
        and model.loss is None
        and not model.run_eagerly
        and on_cpu()
        and model.distribute_strategy.num_replicas_in_sync == 1
        and type(x) is np.ndarray
        and x.dtype.kind in "fiub"
        and len(x) <= ROWS_UP_TO
        and given.get("shuffle", True) in (True, False)
        and given.keys() <= _FOR_ROWS
    )


def rows_of(
    x: np.ndarray,
    batch_size: int | None = None,
    shuffle: bool = True,
    **others: Any,
) -> dict[str, Any]:
    """The arguments of `fit` that replace these if the step takes rows."""
    batches = row_batches(x, batch_size or _BATCH_SIZE, shuffle)
    return {"x": batches, "batch_size": None, "shuffle": False}


def execution_of(
    model: keras.Model, rows: bool, jit_is_open: bool
) -> Callable[..., Any] | None:
    """What compiles an execution of several steps as one program, if it pays.

    It takes the step and the number of steps. Keras does this itself on JAX
    from 3.16 on. On TensorFlow it saves a tenth to a third of the time of dense
    layers; convolutions are slower under XLA on a CPU.

    Args:
        model: The model, compiled.
        rows: Whether its step takes the rows of an array.
        jit_is_open: Whether `compile` left `jit_compile` open.
    """
    if model.loss is not None or model.run_eagerly:
        return None
    if model.steps_per_execution == 1:
        return None
    if keras.backend.backend() == "tensorflow" and rows:
        compiles = model.jit_compile or (
            jit_is_open and all(map(_is_faster_compiled, model.layers))
        )
        return tensorflow_execution if compiles else None
    one_program = (
        keras.backend.backend() == "jax"
        and KERAS_VERSION < (3, 16)
        and model.jit_compile
        and keras.distribution.distribution() is None
    )
    return jax_execution if one_program else None


def _is_faster_compiled(layer: keras.Layer) -> bool:
    if isinstance(layer, keras.layers.Lambda) or not layer.supports_jit:
        return False
    return isinstance(layer, LocalLearningLayer) or not layer.weights


def _batches_of(given: dict[str, Any]) -> int:
    """Number of batches per epoch of `fit`, 0 if its data are not arrays."""
    arrays = keras.tree.flatten(given.get("x"))
    if not arrays or not all(getattr(each, "shape", ()) for each in arrays):
        return 0
    if given.get("steps_per_epoch"):
        return given["steps_per_epoch"]
    size = given.get("batch_size") or _BATCH_SIZE
    return math.ceil(arrays[0].shape[0] / size)


def _needs_batches(callback: Any) -> bool:
    """Whether a callback acts on each batch."""
    by_epoch = "epoch" in (
        getattr(callback, "save_freq", None),  # Keras's checkpoints
        getattr(callback, "per", None),  # `WeightVisualization`
    )
    return not by_epoch and any(
        getattr(getattr(callback, name), "__func__", None)
        is not getattr(keras.callbacks.Callback, name)
        for name in _BATCH_HOOKS
    )
