"""How `fit` without a loss runs its steps, where `compile` leaves it open."""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_hebbian._backend import on_cpu
from keras_hebbian._checks import only_reshapes
from keras_hebbian._programs import (
    jax_execution,
    row_batches,
    tensorflow_execution,
)
from keras_hebbian.layers.local_learning import LocalLearningLayer

KERAS_VERSION = tuple(map(int, keras.version().split(".")[:2]))
# JAX copies all batches of an execution, and torch runs single steps.
STEPS_PER_EXECUTION = {"tensorflow": 40, "jax": 20, "torch": 1}
TUNED_FROM = 200  # batches of a fit; for fewer, compiling takes too long
ROWS_UP_TO = 1_000_000  # samples, because shuffled indices take memory

_KNOWN_CALLS = ("keras", "keras_hebbian")
_BATCH_SIZE = 32  # of `fit` in Keras
_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
)
_COUNTED = ("steps_per_epoch", "validation_steps")
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
    epochs = given.get("epochs", 1) - given.get("initial_epoch", 0)
    several = (
        not model._has_loss()
        and not model.run_eagerly
        and keras.distribution.distribution() is None
        # Keras rounds such numbers up to whole executions.
        and not any(given.get(name) for name in _COUNTED)
        and _batches_of(given) * epochs >= TUNED_FROM
        and not any(map(needs_batches, callbacks))
    )
    return STEPS_PER_EXECUTION[keras.backend.backend()] if several else 1


def rows_per_step(model: keras.Model, given: dict[str, Any]) -> int | None:
    """The batch size, if the step itself may take its batch from the array.

    Only on TensorFlow and a CPU: the data pipelines of JAX and torch are
    cheap, and that of TensorFlow runs while a GPU computes.
    """
    x = given.get("x")
    from_rows = (
        keras.backend.backend() == "tensorflow"
        and model.compiled
        and not model._has_loss()
        and not model.run_eagerly
        and on_cpu()
        and model.distribute_strategy.num_replicas_in_sync == 1
        and type(x) is np.ndarray
        and x.dtype.kind in "fiub"
        and len(x) <= ROWS_UP_TO
        and given.get("shuffle", True) in (True, False)
        and given.keys() <= _FOR_ROWS
    )
    return (given.get("batch_size") or _BATCH_SIZE) if from_rows else None


def rows_of(
    x: np.ndarray, size: int, steps: int, shuffle: bool
) -> dict[str, Any]:
    """The arguments of `fit` that replace these if the step takes rows.

    An element of the data has the rows of all steps of an execution.
    """
    return {
        "x": row_batches(x, size * steps, shuffle),
        "batch_size": None,
        "shuffle": False,
        "steps_per_epoch": math.ceil(len(x) / size),
    }


def execution_of(
    model: keras.Model, rows: int | None, jit_is_open: bool
) -> Callable[..., Any] | None:
    """What makes an execution of several steps one program, if not Keras.

    It takes the step and the number of steps. Keras does this itself on JAX
    from 3.16 on. On TensorFlow, XLA saves a tenth to two thirds of the time of
    dense layers; convolutions are slower under XLA on a CPU.

    Args:
        model: The model, compiled.
        rows: Batch size, if its step takes the rows of an array.
        jit_is_open: Whether `compile` left `jit_compile` open.
    """
    if model._has_loss() or model.run_eagerly:
        return None
    if model.steps_per_execution == 1:
        return None
    if rows:
        jit_compile = model.jit_compile
        if jit_is_open and all(
            map(_is_faster_compiled, model._flatten_layers())
        ):
            jit_compile = "auto"
        return functools.partial(
            tensorflow_execution, size=rows, jit_compile=jit_compile
        )
    one_program = (
        keras.backend.backend() == "jax"
        and KERAS_VERSION < (3, 16)
        and model.jit_compile
        and keras.distribution.distribution() is None
    )
    return jax_execution if one_program else None


def _is_faster_compiled(layer: keras.Layer) -> bool:
    """Whether a layer of Keras or of this package is faster with XLA."""
    known = type(layer).call.__module__.split(".")[0] in _KNOWN_CALLS
    if not known or not layer.supports_jit:
        return False
    # The layers of a nested model are looked at one by one.
    dense = isinstance(layer, LocalLearningLayer | keras.Model)
    return dense or not layer.weights


def _batches_of(given: dict[str, Any]) -> int:
    """Number of batches per epoch of `fit`, 0 if its data are not arrays."""
    arrays = keras.tree.flatten(given.get("x"))
    if not arrays or not all(getattr(each, "shape", ()) for each in arrays):
        return 0
    size = given.get("batch_size") or _BATCH_SIZE
    return math.ceil(arrays[0].shape[0] / size)


def needs_batches(callback: Any) -> bool:
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


def only_learns(model: Any, x: Any) -> bool:
    """Whether calling a Sequential model with a tensor would do no more than
    let its only local layer learn from it, reshaped, and compute outputs."""
    if type(model).call is not keras.Sequential.call or not model.built:
        return False
    *below, layer = model.layers
    return (
        isinstance(layer, LocalLearningLayer)
        and type(layer).call is LocalLearningLayer.call
        and type(layer).update_state is LocalLearningLayer.update_state
        and layer.activity_regularizer is None
        and not layer._observers
        and all(map(only_reshapes, below))
        and not any(
            each._forward_hooks or each._forward_pre_hooks
            for each in (model, *model.layers)
        )
        and keras.ops.is_tensor(x)
        and _as_declared(x, model.inputs[0])
    )


def _as_declared(x: Any, inputs: Any) -> bool:
    """Whether a model would take a tensor without a conversion."""
    return (
        keras.backend.standardize_dtype(x.dtype) == inputs.dtype
        and len(x.shape) == len(inputs.shape)
        and all(
            expected in (None, size)
            for size, expected in zip(x.shape, inputs.shape, strict=True)
        )
    )
