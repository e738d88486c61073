"""The local layers of a model, and names for their values in the logs."""

import collections
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_hebbian.layers.local_learning import LocalLearningLayer


def local_layers(model: keras.Layer) -> list[LocalLearningLayer]:
    """All local layers of a model or layer, nested ones included, each once."""
    layers = model._flatten_layers()
    local = (x for x in layers if isinstance(x, LocalLearningLayer))
    return list(dict.fromkeys(local))


def collect(
    layers: Iterable[LocalLearningLayer],
    read: Callable[[LocalLearningLayer], dict[str, Any]],
) -> dict[str, Any]:
    """The values that `read` returns for each layer, named for the logs.

    With several layers, each name starts with the name of its layer, followed
    by a number for the second and later layers of the same name.
    """
    layers = list(layers)
    seen: collections.Counter[str] = collections.Counter()
    found = {}
    for layer in layers:
        number = seen[layer.name]
        seen[layer.name] += 1
        prefix = f"{layer.name}_{number}_" if number else f"{layer.name}_"
        for name, value in read(layer).items():
            found[f"{prefix}{name}" if len(layers) > 1 else name] = value
    return found
