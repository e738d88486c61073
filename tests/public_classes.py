"""The public classes of the package, found, and an instance of each."""

import inspect

import keras
import numpy as np

import keras_hebbian as kh

UNITS = 4
IMAGES = np.random.default_rng(0).random((12, UNITS), dtype="float32")
LABELS = np.arange(12) % UNITS
PICTURES = np.random.default_rng(0).random((12, 5, 6, 2), dtype="float32")
ABSTRACT = (kh.LocalLearningLayer, kh.KernelLayer)


def found(kind=object, but=()):
    """The public classes of a kind that can be used as they are."""
    values = (getattr(kh, name) for name in kh.__all__)
    return [
        value
        for value in values
        if inspect.isclass(value)
        and issubclass(value, kind)
        and not issubclass(value, but)
        and value not in ABSTRACT
    ]


def found_layers():
    return found(keras.layers.Layer, but=keras.Model)


def arguments(public):
    """The parameters that a class names, by name."""
    return {
        name: parameter
        for name, parameter in inspect.signature(public).parameters.items()
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD
    }


def required(public, **given):
    """What has no default, which is an integer, 4, or a layer to wrap."""

    def value(name):
        if name == "layer":
            policy = {"dtype": given["dtype"]} if "dtype" in given else {}
            return kh.HebbianCompetitive(UNITS, name="wrapped", **policy)
        return UNITS

    return {
        name: value(name)
        for name, parameter in arguments(public).items()
        if parameter.default is parameter.empty
    }


def make(public, **given):
    return public(**{**required(public, **given), **given})


def inputs_of(public):
    """What a layer of a class takes: 12 vectors of length 4, or images."""
    return PICTURES if issubclass(public, kh.Convolution) else IMAGES


def ready(public, **given):
    """A layer that has seen some data, where it needs to."""
    layer = make(public, **given)
    if hasattr(layer, "adapt"):
        layer.adapt(IMAGES, IMAGES.argmax(axis=-1))
    else:
        layer.build((None, *inputs_of(public).shape[1:]))
    return layer
