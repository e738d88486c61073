"""The local layers of a model, and names for their values in the logs."""

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

import keras

from keras_hebbian.layers.local_learning import LocalLearningLayer
from keras_hebbian.layers.winner_classifier import WinnerClassifier


def local_layers(
    model: keras.Layer, asked: bool = True
) -> list[LocalLearningLayer]:
    """All local layers of a model or layer, nested ones included, each once.

    Args:
        model: The model or layer.
        asked: Whether those are included that never learn, because only a
            `WinnerClassifier` asks them which unit wins.
    """
    layers = _walk(model, asked)
    local = (x for x in layers if isinstance(x, LocalLearningLayer))
    return list(dict.fromkeys(local))


def _walk(layer: keras.Layer, asked: bool) -> Iterator[keras.Layer]:
    """A layer and those in it, in their order.

    Keras's own recursion reverses the layers of a nested model.
    """
    yield layer
    if asked or not isinstance(layer, WinnerClassifier):
        for part in layer._flatten_layers(include_self=False, recursive=False):
            yield from _walk(part, asked)


def named(
    layers: Iterable[LocalLearningLayer],
) -> dict[str, LocalLearningLayer]:
    """The layers by their names in the logs.

    The name of a second or later layer of the same name ends in a number.
    """
    found: dict[str, LocalLearningLayer] = {}
    for layer in layers:
        found[untaken(layer.name, found)] = layer
    return found


def untaken(name: str, taken: Container[str]) -> str:
    """The name, with a number at its end if it is taken."""
    numbered, number = name, 0
    while numbered in taken:
        number += 1
        numbered = f"{name}_{number}"
    return numbered


def collect(
    layers: Iterable[LocalLearningLayer],
    read: Callable[[LocalLearningLayer], dict[str, Any]],
) -> dict[str, Any]:
    """The values that `read` returns for each layer, named for the logs.

    With several layers, each name starts with the name of its layer.
    """
    by_name = named(layers)
    return {
        f"{prefix}_{name}" if len(by_name) > 1 else name: value
        for prefix, layer in by_name.items()
        if layer.built  # those that were never called have no values
        for name, value in read(layer).items()
    }
