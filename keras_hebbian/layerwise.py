"""Greedy layer-wise training of local layers."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from keras_hebbian._arguments import check_integer
from keras_hebbian.callbacks.learning_monitor import LearningMonitor
from keras_hebbian.layers.local_layers import local_layers
from keras_hebbian.models import OPEN, HebbianSequential

# From a layer and its training data to the callbacks of its `fit`.
MakeCallbacks = Callable[[keras.Layer, Any], Iterable[keras.callbacks.Callback]]


def fit_layerwise(
    model: keras.Sequential,
    x: Any,
    batch_size: int | None = None,
    epochs: int | Iterable[int] = 1,
    verbose: str | int = "auto",
    callbacks: Iterable[keras.callbacks.Callback] | MakeCallbacks | None = None,
    shuffle: bool = True,
    steps_per_epoch: int | None = None,
    backup_dir: str | None = None,
) -> list[keras.callbacks.History]:
    """Trains the local layers of a model greedily, one after another.

    Each layer gets its own `fit`, together with the layers between it and the
    previous local layer, such as a `BatchNormalization` that learns its
    statistics. All layers further below run in inference mode and do not
    change. Layers above the last local layer are not trained, nor are local
    layers that are not `trainable`.

    An array passes through each layer only once: the outputs of a trained layer
    are kept in memory, and the next layer learns from them. A dataset or
    generator passes through all layers below again in each epoch, and nothing
    is kept.

    The settings `steps_per_execution`, `run_eagerly` and `jit_compile` are
    those of the model, which need not be compiled. Settings that its `compile`
    left open stay open.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> model = kh.HebbianSequential(
    ...     [
    ...         keras.Input((6,)),
    ...         kh.HebbianCompetitive(5),
    ...         keras.layers.UnitNormalization(),
    ...         kh.HebbianCompetitive(4),
    ...     ]
    ... )
    >>> histories = kh.fit_layerwise(
    ...     model,
    ...     np.random.rand(20, 6),
    ...     epochs=[3, 2],
    ...     callbacks=[kh.LinearRateDecay()],
    ...     verbose=0,
    ... )
    >>> [len(history.epoch) for history in histories]
    [3, 2]

    Args:
        model: `keras.Sequential` or `HebbianSequential`. A nested model counts
            as one layer.
        x: Training data, as for `fit`: an array, or a dataset or generator of
            batches. With a dataset the model must be built, for example with a
            `keras.Input`; a generator must not end before the last layer.
        batch_size: Integer, number of samples per batch of an array. Defaults
            to `None`, which is 32.
        epochs: Integer >= 1, or a list of integers, one for each layer that
            learns. Defaults to `1`.
        verbose: As in `fit`. Defaults to `"auto"`, a progress bar.
        callbacks: List of callbacks for the `fit` of each layer:
            `LinearRateDecay()` decays the rates of each layer over its own
            epochs. Or a function `(layer, x)` that returns such a list, where
            `x` is the training data of the layer: an array of outputs of the
            layer below, or the given dataset. With an array, a
            `LearningMonitor` with data needs it. Defaults to `None`.
        shuffle: Whether to shuffle an array before each epoch. Defaults to
            `True`.
        steps_per_epoch: Integer, number of batches per epoch. Defaults to
            `None`, all batches.
        backup_dir: Folder for backups after each epoch, deleted at the end. To
            resume an interrupted training run, call the function again with the
            same arguments in a new process. Defaults to `None`, no backups.

    Returns:
        List of `keras.callbacks.History`, one for each layer that learned.

    Raises:
        ValueError: If `model` is not a `keras.Sequential`, has no trainable
            local layer, or must be built; if `epochs` has the wrong number of
            entries; if the callbacks contain a `BackupAndRestore`, which
            `backup_dir` replaces; or if their list contains a
            `LearningMonitor` with data, but layers learn from outputs of
            others.

    Reference:
        Bengio, Lamblin, Popovici and Larochelle, "Greedy layer-wise training
        of deep networks", NeurIPS 2006.
    """
    is_array = hasattr(x, "shape")
    _check(model, is_array, callbacks)
    if not model.built:
        model.build((None, *x.shape[1:]))
    stages = list(_stages(model.layers))
    counts = _each(epochs, len(stages))
    histories, done = [], 0
    backups: list[keras.callbacks.Callback] = []
    for count, (start, stop) in zip(counts, stages, strict=True):
        if is_array and done < start:
            x = _part(model, done, start).predict(x, batch_size, verbose=0)
            done = start
        stage = _stage(model, done, start, stop)
        stage._is_stage = len(stages) > 1
        used = callbacks
        if callable(callbacks):
            used = callbacks(model.layers[stop - 1], x)
        used = keras.tree.flatten(used or [])
        if backup_dir is not None:
            backups.append(_backup(f"{backup_dir}/{len(backups)}"))
            used = [backups[-1], *used]
        history = stage.fit(
            x,
            batch_size=batch_size,
            epochs=count,
            verbose=verbose,
            callbacks=used,
            shuffle=shuffle,
            steps_per_epoch=steps_per_epoch,
        )
        histories.append(history)
        if backups:  # the layer is finished, even if it was stopped early
            backups[-1].on_epoch_end(count - 1)
    for backup in backups:
        backup.delete_checkpoint = True
        backup.on_train_end()
    return histories


def _check(model: Any, is_array: bool, callbacks: Any) -> None:
    if not isinstance(model, keras.Sequential):
        raise ValueError(
            "Expected `model` to be a `keras.Sequential`, whose layers have an "
            f"order. Received: model={model!r}"
        )
    if not model.built and not is_array:
        raise ValueError(
            "Expected a built model, for example with a `keras.Input`, for a "
            f"dataset. Received: {model.name}"
        )
    if not any(_learns(layer) for layer in model.layers):
        raise ValueError(
            "Expected a model with a local layer that is `trainable`. "
            f"Received: {model.name} with the layers "
            f"{[layer.name for layer in model.layers]}"
        )
    backups = keras.callbacks.BackupAndRestore
    given = [] if callable(callbacks) else keras.tree.flatten(callbacks)
    if any(isinstance(each, backups) for each in given):
        raise ValueError(
            "Expected `backup_dir` to back up all layers. "
            "Received: the callback `BackupAndRestore`"
        )
    monitors = [x for x in given if isinstance(x, LearningMonitor)]
    above = is_array and any(start for start, _ in _stages(model.layers))
    if above and any(each.inputs is not None for each in monitors):
        raise ValueError(
            "Expected callbacks as a function, such as `lambda layer, x: "
            "[LearningMonitor(x)]`, as each layer learns from outputs of the "
            "layers below. Received: a LearningMonitor with data in a list"
        )


def _learns(layer: keras.Layer) -> bool:
    local = local_layers(layer, asked=False)
    return layer.trainable and any(each.trainable for each in local)


def _stages(layers: list[keras.Layer]) -> Iterator[tuple[int, int]]:
    """Start and stop indices of the layers that learn together."""
    start = 0
    for stop, layer in enumerate(layers, 1):
        if _learns(layer):
            yield start, stop
        if local_layers(layer, asked=False):
            start = stop


def _each(epochs: int | Iterable[int], count: int) -> list[int]:
    given = list(epochs) if isinstance(epochs, Iterable) else [epochs] * count
    if len(given) != count:
        raise ValueError(
            f"Expected `epochs` for each of {count} local layers. "
            f"Received: epochs={epochs}"
        )
    return [check_integer("epochs", each, minimum=1) for each in given]


def _part(model: keras.Sequential, start: int, stop: int) -> keras.Sequential:
    """A model made of some layers of a built model."""
    return keras.Sequential(
        [_input_of(model, start), *model.layers[start:stop]]
    )


def _input_of(model: keras.Sequential, place: int) -> Any:
    """The input of a model made of the layers from a place on."""
    expected = model.inputs[0]
    if place:  # a layer of other models has more inputs than this one
        expected = _part(model, 0, place).outputs[0]
    return keras.Input(batch_shape=expected.shape, dtype=expected.dtype)


def _stage(
    model: keras.Sequential, done: int, start: int, stop: int
) -> HebbianSequential:
    """A model in which layers learn from the outputs of those below.

    Callbacks and logs do not see the layers below, as with an array.

    Args:
        model: The model.
        done: From which of its layers on the stage needs them.
        start: The first layer that learns.
        stop: The first layer that is not part of the stage.
    """
    frozen = []
    if done < start:
        features = _part(model, done, start)
        identity = keras.layers.Identity(autocast=False)

        def outputs(inputs: Any, training: bool | None = None) -> Any:
            values = features(inputs, training=False)
            # From Keras 3.16 on, the layers above would get this `training`.
            return identity(values, training=training)

        frozen = [keras.layers.Lambda(outputs, autocast=False)]
    layers = model.layers[start:stop]
    stage = HebbianSequential([_input_of(model, done), *frozen, *layers])
    left_open = getattr(model, "_left_open", set()) if model.compiled else OPEN
    given = OPEN - left_open
    settings = {name: getattr(model, name) for name in given}
    stage.compile(run_eagerly=model.run_eagerly, **settings)
    return stage


def _backup(folder: str) -> keras.callbacks.BackupAndRestore:
    """Backups that are kept until all layers are finished."""
    return keras.callbacks.BackupAndRestore(
        folder, double_checkpoint=True, delete_checkpoint=False
    )
