"""Measures of learning in the logs."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_hebbian._arguments import (
    check_class_indices,
    check_integer,
    class_of_each,
)
from keras_hebbian.callbacks import _measures
from keras_hebbian.layers.local_layers import collect, local_layers
from keras_hebbian.layers.local_learning import LocalLearningLayer

BATCH = 256
"""Number of samples that go through the model at once."""

POSITIONS = 64
"""Maximum number of positions of a sample that are measured."""


class _Seen(NamedTuple):
    """Values of a layer for the data, at some positions of each sample."""

    drives: np.ndarray  # (samples, positions, units)
    outputs: np.ndarray  # (samples, positions, units)
    cosines: np.ndarray | None  # (samples, positions)
    labels: np.ndarray | None  # (samples,)


class LearningMonitor(keras.callbacks.Callback):
    """Adds measures of local learning to the logs.

    After each epoch the history, the progress bar and callbacks later in the
    list get, for every local layer:

    - all values that the layer reports, such as `norm_distance` or `activity`;
    - `change`: how far the kernel moved in the epoch, relative to its norm;

    and, measured on `data`,

    - `dead`: the fraction of units that win no sample;
    - `win_entropy`: how evenly the units win, from 0, when one of them wins
      all samples, to 1, when all win equally often;
    - `correlation`: mean absolute correlation between the outputs of two units;
    - `winner_cosine`: mean cosine of the angle between a sample and the kernel
      of its winner, which falls when the data drift away from the units;
    - `winner_accuracy`, with labels: the accuracy of the winners' classes, as
      in `WinnerClassifier(layer=...)`;
    - `probe_accuracy`, with `probe=True`: the accuracy of a ridge regression
      on the standardized outputs, with a penalty of 0.01 per sample;
    - the measures of the layer itself (`measures`), such as
      `quantization_error` and `topographic_error` of a `SelfOrganizingMap`.

    The winner of a sample is the unit with the largest drive (the quantity the
    units compete by, `drives` of the layer). The labels do not affect learning.
    Both accuracies are measured on a random half of the samples, the same in
    every epoch, for units labelled and readouts fitted on the other half. If
    inputs have more axes, `(samples, ..., inputs)`, each position has a winner,
    at most 64 random positions of a sample are measured, and the accuracies are
    per sample: winners vote with their shares of the classes, and the probe
    reads mean outputs. The calls of a layer that is called several times count
    as further positions. Accuracies are left out for a layer that gets other
    samples than the labels describe, such as rows of a reshaped batch. With
    several local layers, each name starts with the name of its layer.

    Formula:

    ```
    change        = ||W - W0|| / ||W0||
    dead          = mean over u of (s[u] = 0)
    win_entropy   = - sum_u s[u] log(s[u]) / log(units)
    correlation   = mean over u < v of |corr_b(o[b, u], o[b, v])|
    winner_cosine = mean over b of x[b] . W[:, w] / (||x[b]|| ||W[:, w]||)
    ```

    `W0` and `W` are the kernel before and after the epoch, `s[u]` is the
    fraction of samples that unit u wins, and `o[b, u]` its output for sample b;
    `x[b]` are the inputs of the layer and `w` is the winner of sample b. Units
    with constant outputs are left out of `correlation`, and a sample or unit of
    norm 0 has the cosine 0. All are dimensionless.

    `change` is infinite in an epoch that builds the layer, as on TensorFlow the
    first one of a model without `keras.Input`. It may grow before it falls, so
    it is a poor monitor for early stopping. `norm_distance` falls until all
    units have won; at a constant rate it then stays at a level that the rate
    sets.

    Example:

    Training stops when the norms change by less than 0.001 in an epoch:

    >>> import keras
    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> images = np.random.rand(64, 9)
    >>> model = kh.HebbianSequential([kh.HebbianCompetitive(4)])
    >>> model.compile()
    >>> history = model.fit(
    ...     images,
    ...     epochs=50,
    ...     callbacks=[
    ...         kh.LearningMonitor(images),
    ...         keras.callbacks.EarlyStopping(
    ...             "norm_distance", mode="min", min_delta=1e-3
    ...         ),
    ...     ],
    ...     verbose=0,
    ... )
    >>> sorted(history.history)  # doctest: +NORMALIZE_WHITESPACE
    ['change', 'correlation', 'dead', 'norm_distance', 'win_entropy',
     'winner_cosine']

    Args:
        data: Inputs of the model, an array or a list or dict of arrays, or a
            tuple `(inputs, labels)` with class indices. Defaults to `None`:
            only measures that need no data.
        every: Integer >= 1. Measures every `every` epochs, in the first and in
            the last of `epochs`, which a training run that is stopped early
            does not reach; the logs repeat the latest values in between.
            Defaults to `1`.
        probe: Whether to also fit a linear readout. Defaults to `False`.

    Raises:
        ValueError: If an argument is out of range, if there are fewer than two
            samples or not one label per sample, if data are not finite, or if
            labels are not class indices; at the start of training, if the model
            has no local layer.
    """

    def __init__(
        self, data: Any = None, every: int = 1, probe: bool = False
    ) -> None:
        super().__init__()
        self.every = check_integer("every", every, minimum=1)
        labelled = isinstance(data, tuple) and len(data) == 2
        self.inputs = data[0] if labelled else data
        self.labels = data[1] if labelled else None
        given = [] if data is None else keras.tree.flatten(self.inputs)
        arrays = [
            keras.ops.convert_to_numpy(each)
            for each in given
            if hasattr(each, "shape")
        ]
        # Sparse matrices are not converted.
        sizes = {len(each) if each.ndim else 0 for each in arrays}
        whole = len(arrays) == len(given)
        if data is not None and not (
            whole and len(sizes) == 1 and min(sizes) > 1
        ):
            raise ValueError(
                "Expected `data` as arrays with the same number of samples, "
                "at least 2, or as a tuple of inputs and labels. Received: "
                f"{type(data).__name__} with arrays of shapes "
                f"{[each.shape for each in arrays]}"
            )
        for array in arrays:
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(
                    "Expected finite data. Received: NaN or infinite values"
                )
        if self.labels is not None:
            self.labels = keras.ops.convert_to_numpy(self.labels)
            self.labels = class_of_each(self.labels, max(sizes), "sample")
            self.labels = check_class_indices(self.labels)
            # Only which samples share a class matters, and indices have gaps.
            self.labels = np.unique(self.labels, return_inverse=True)[1]
        if probe and self.labels is None:
            raise ValueError(
                "Expected `data=(inputs, labels)` for a probe. Received: "
                "no labels"
            )
        self.probe = probe

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not local_layers(self.model):
            raise ValueError(
                "Expected a model with a local layer. Received: a model with "
                f"the layers {[layer.name for layer in self.model.layers]}"
            )
        if self.inputs is not None and self.model.built:
            # Data of another shape are refused before anything is learned.
            first, _ = next(self._batches(1))
            self.model(first, training=False)
        self._measured: dict[str, float] = {}
        self._first: int | None = None

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._first is None:
            self._first = epoch
        if self._is_due(epoch):
            self._before = {
                layer: _kernel(layer)
                for layer in local_layers(self.model)
                if layer.built and "kernel" in layer.state
            }

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._is_due(epoch):
            layers = local_layers(self.model)
            seen = self._see([each for each in layers if each.built])
            measured = collect(
                layers, lambda layer: self._measure(layer, seen.get(layer))
            )
            self._measured = {
                name: float(keras.ops.convert_to_numpy(value))
                for name, value in measured.items()
            }
        if logs is not None:
            logs.update(
                {
                    name: value
                    for name, value in self._measured.items()
                    if self._is_due(epoch) or name not in logs
                }
            )

    def _is_due(self, epoch: int) -> bool:
        """Whether to measure: in the first, each `every`-th and last epoch."""
        done = epoch + 1
        return (
            epoch == self._first
            or done % self.every == 0
            or done == self.params["epochs"]
        )

    def _see(
        self, layers: list[LocalLearningLayer]
    ) -> dict[LocalLearningLayer, _Seen]:
        """The values of each layer for the data."""
        if self.inputs is None:
            return {}
        rng = np.random.default_rng(0)
        seen: dict[Any, list[list[_Seen]]] = {layer: [] for layer in layers}
        for inputs, labels in self._batches():
            with contextlib.ExitStack() as stack:
                observed: dict[Any, list[Any]] = {x: [] for x in layers}
                for layer in layers:
                    observe = observed[layer].append
                    stack.enter_context(layer.observed(observe))
                self.model(inputs, training=False)
            for layer in layers:
                calls = [
                    _compute(layer, reached, labels, rng)
                    for reached in observed[layer]
                ]
                if calls:
                    seen[layer].append(calls)
        return {
            layer: _together(batches)
            for layer, batches in seen.items()
            if batches
        }

    def _batches(self, most: int = BATCH) -> Iterator[tuple[Any, Any]]:
        size = len(keras.tree.flatten(self.inputs)[0])
        fixed = [each.shape[0] for each in getattr(self.model, "inputs", [])]
        most = next(filter(None, fixed), most)  # of a stateful model
        for start in range(0, size, most):
            batch = slice(start, start + most)
            yield (
                keras.tree.map_structure(lambda x, b=batch: x[b], self.inputs),
                None if self.labels is None else self.labels[batch],
            )

    def _measure(
        self, layer: LocalLearningLayer, seen: _Seen | None
    ) -> dict[str, Any]:
        measures = dict(layer.report())
        if "kernel" in layer.state:
            measures["change"] = _measures.change(
                self._before.get(layer), _kernel(layer)
            )
        if seen is not None:
            drives = seen.drives.reshape(-1, layer.units)
            measures |= layer.measures(keras.ops.convert_to_tensor(drives))
            winners = drives.argmax(axis=-1)
            wins = np.bincount(winners, minlength=layer.units)
            measures["dead"] = np.mean(wins == 0)
            measures["win_entropy"] = _measures.entropy(wins)
            measures["correlation"] = _measures.mean_correlation(
                seen.outputs.reshape(-1, layer.units)
            )
            if seen.cosines is not None:
                measures["winner_cosine"] = np.mean(seen.cosines)
            if seen.labels is not None:
                measures["winner_accuracy"] = _measures.winner_accuracy(
                    seen.drives, seen.labels
                )
                if self.probe:
                    measures["probe_accuracy"] = _measures.probe_accuracy(
                        seen.outputs.mean(axis=1), seen.labels
                    )
        return measures


def _compute(
    layer: LocalLearningLayer,
    inputs: Any,
    labels: np.ndarray | None,
    rng: np.random.Generator,
) -> _Seen:
    """The values of a layer for a batch, at some of its positions."""
    inputs = keras.ops.reshape(
        inputs, (inputs.shape[0], -1, inputs.shape[-1])
    )  # (samples, positions, inputs)
    if labels is not None and len(labels) != len(inputs):
        labels = None  # a layer of the model has made other samples of them
    positions = inputs.shape[1]
    if positions > POSITIONS:
        chosen = rng.choice(positions, POSITIONS, replace=False)
        inputs = keras.ops.take(inputs, chosen, axis=1)
    state = layer._values()
    response = layer._for_rows(layer.respond, inputs, state)
    drives, outputs = (
        keras.ops.convert_to_numpy(keras.ops.cast(each, "float32"))
        for each in (layer.competition(inputs), layer.activation(response))
    )
    kernel, cosines = state.get("kernel"), None
    if kernel is not None and kernel.shape == (inputs.shape[-1], layer.units):
        winners = drives.argmax(axis=-1)
        cosines = _measures.winner_cosines(inputs, kernel, winners)
    return _Seen(drives, outputs, cosines, labels)


def _together(batches: list[list[_Seen]]) -> _Seen:
    """The values of all batches, each with one or more calls of the layer.

    Further calls, of a shared layer, are further positions of the samples,
    unless they have other samples.
    """
    if any(len({len(call.drives) for call in calls}) > 1 for calls in batches):
        calls = [_as_samples(call) for calls in batches for call in calls]
        return _joined(calls, axis=0)
    return _joined([_joined(calls, axis=1) for calls in batches], axis=0)


def _as_samples(seen: _Seen) -> _Seen:
    """The positions of all samples as samples, whose labels are unknown."""
    drives, outputs = (
        values.reshape(-1, 1, values.shape[-1])
        for values in (seen.drives, seen.outputs)
    )
    cosines = None if seen.cosines is None else seen.cosines.reshape(-1, 1)
    return _Seen(drives, outputs, cosines, None)


def _joined(parts: list[_Seen], axis: int) -> _Seen:
    """Values of several batches (axis 0) or of several positions (axis 1)."""
    drives, outputs, cosines, labels = zip(*parts, strict=True)
    known = axis == 0 and labels[0] is not None
    return _Seen(
        np.concatenate(drives, axis),
        np.concatenate(outputs, axis),
        None if cosines[0] is None else np.concatenate(cosines, axis),
        np.concatenate(labels) if known else labels[0],
    )


def _kernel(layer: LocalLearningLayer) -> np.ndarray:
    """A copy of the kernel, which some backends change in place."""
    return np.array(keras.ops.convert_to_numpy(layer.state["kernel"]))
