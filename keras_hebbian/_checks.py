"""What `fit` without a loss rejects, and what it warns about."""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_hebbian.layers.convolution import Convolution
from keras_hebbian.layers.local_layers import local_layers
from keras_hebbian.layers.local_learning import LocalLearningLayer
from keras_hebbian.layers.winner_classifier import WinnerClassifier

_OF_OPTIMIZERS = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)


def _functional_class() -> type:
    """The class of `keras.Model(inputs, outputs)`, private in Keras.

    A whole model would fix the global dtype policy: a later
    `keras.config.set_floatx` would have no effect.
    """
    return type(keras.Model.__new__(keras.Model, None, None))


Functional: Any = _functional_class()


def only_reshapes(layer: keras.Layer) -> bool:
    return type(layer) in (keras.layers.Flatten, keras.layers.Reshape)


def check_labels(model: Any, y: Any) -> None:
    """Rejects data without labels for compiled metrics."""
    if model._compile_metrics is not None and y is None:
        raise ValueError(
            "Expected labels `y` for the metrics of `compile`. Received: y=None"
        )


def check_weights(*weights: Any) -> None:
    """Rejects weights of samples or classes."""
    if any(each is not None for each in weights):
        raise ValueError(
            "Expected `compile(loss=...)` for `class_weight` or "
            "`sample_weight`: local layers weight all samples equally. "
            "Received: loss=None"
        )


def check_data(
    model: Any,
    x: Any = None,
    y: Any = None,
    class_weight: Any = None,
    sample_weight: Any = None,
    **others: Any,
) -> None:
    """Rejects weights, and arrays without labels for compiled metrics."""
    check_weights(class_weight, sample_weight)
    if all(hasattr(each, "shape") for each in keras.tree.flatten(x)):
        check_labels(model, y)


def check_votes(model: Any) -> None:
    """Rejects a classifier without votes, whose accuracy means nothing."""
    for layer in model._flatten_layers():
        if isinstance(layer, WinnerClassifier):
            layer.check_votes()


def check_fit(
    model: Any,
    y: Any = None,
    callbacks: Any = None,
    validation_data: Any = None,
    validation_split: float | None = None,
    **others: Any,
) -> None:
    """Warns about arguments with no effect without a loss."""
    if _is_frozen(model):
        names = ", ".join(layer.name for layer in local_layers(model))
        warnings.warn(
            "Nothing learns in this `fit`, because the model or all of its "
            "local layers have `trainable=False`, or are called by a "
            f"`WinnerClassifier` alone: {names}",
            stacklevel=4,
        )
    validated = validation_data is not None or bool(validation_split)
    unused = "; ".join(_unused(model, y, callbacks, validated))
    if unused:
        warnings.warn(
            "Without a loss only the local layers learn. These have no "
            f"effect: {unused}. Leave them out, or use `compile(loss=...)`",
            stacklevel=4,
        )


def _unused(
    model: Any, y: Any, callbacks: Any, validated: bool
) -> Iterator[str]:
    """What has no effect without a loss."""
    if not model._is_measured():
        if y is not None:
            yield "the labels `y`"
        if validated and not model._has_own("test_step"):
            yield "the validation data (see `compile(metrics=...)`)"
    trained = [x.path for x in model.trainable_weights]
    if trained:
        yield f"the trainable weights {', '.join(trained)}"
    # Keras wraps its default optimizer if it scales the loss.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer is not None:
        default = keras.optimizers.RMSprop(name=optimizer.name)
        if optimizer.get_config() != default.get_config():
            yield f"the optimizer {type(optimizer).__name__}"
    for each in keras.tree.flatten(callbacks):
        if isinstance(each, _OF_OPTIMIZERS):
            yield f"the callback {type(each).__name__} (see `LinearRateDecay`)"


def _is_frozen(model: Any) -> bool:
    """Whether no local layer learns, nor any other keeps statistics."""
    local = local_layers(model)
    kept = {
        id(variable)
        for layer in model._flatten_layers()
        if isinstance(layer, LocalLearningLayer | WinnerClassifier)
        for variable in layer.variables
    }
    learning = [x for x in local_layers(model, asked=False) if x.trainable]
    return (
        bool(local and model.built)
        and not (model.trainable and learning)
        and all(id(x) in kept for x in model.non_trainable_variables)
    )


def check_values(model: Any, inputs: np.ndarray | np.generic) -> None:
    """Rejects an array with batches that a layer would have to skip."""
    if not inputs.size or not inputs.shape:
        raise ValueError(
            "Expected at least one sample. "
            f"Received: an array of shape {inputs.shape}"
        )
    layers = _layers_at_the_input(model)
    if not layers or isinstance(inputs, np.memmap):
        return  # do not read a whole memory map
    low, high = inputs.min(), inputs.max()
    for layer in layers:
        negative = layer.non_negative_inputs and low < 0
        if negative or not np.isfinite([low, high]).all():
            raise ValueError(
                f"Expected {layer.expects} for {layer.name}. Received: "
                f"values from {low} to {high}"
            )


def _layers_at_the_input(model: Any) -> list[LocalLearningLayer]:
    """The local layers that get the values of the inputs unchanged."""
    if type(model).call is keras.Sequential.call:
        upwards = itertools.dropwhile(only_reshapes, model.layers)
        first = list(itertools.islice(upwards, 1))
    elif type(model).call is Functional.call and len(model.inputs) == 1:
        first = [x for x in model.layers if x.input is model.inputs[0]]
    else:
        return []
    layers = [x.layer if isinstance(x, Convolution) else x for x in first]
    return [
        layer
        for layer in layers
        if isinstance(layer, LocalLearningLayer)
        and layer.trainable
        and type(layer).call is LocalLearningLayer.call
    ]
