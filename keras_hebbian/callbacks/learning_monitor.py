"""Measures of learning in the logs."""

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_hebbian._arguments import check_integer
from keras_hebbian.layers.local_learning import (
    LocalLearningLayer,
    collect,
    local_layers,
)
from keras_hebbian.layers.winner_classifier import WinnerClassifier

BATCH = 1024
"""Samples that go through the model at once."""

RIDGE = 0.01
"""Penalty of the probe per sample, for features of variance 1."""


class LearningMonitor(keras.callbacks.Callback):
    """Adds to the logs how the local layers learn.

    Callbacks that stand after it in the list, the history and the progress bar
    see, after each epoch and for every local layer:

    - all that the layer reports, such as `converged` or `activity`;
    - `change`: how far the kernel moved in the epoch, relative to its size;

    and, measured on `data`,

    - `dead`: the share of units that win no sample;
    - `win_entropy`: how evenly the units win, from 0, when one of them wins
      all samples, to 1, when all win equally often;
    - `correlation`: mean size of the correlation between the outputs of two
      units;
    - `winner_accuracy`, with labels: the share of samples whose winner has
      their class (`WinnerClassifier`);
    - `probe_accuracy`, with `probe=True`: the share of samples that a linear
      readout of the outputs, fitted in closed form, gets right.

    Labels teach the model nothing. Both accuracies are taken on every second
    sample, for units and readouts labelled on the others. With several local
    layers each name starts with the layer's own.

    Formula:

    ```
    change      = ||W - W0|| / ||W0||
    win_entropy = - sum_u s[u] log(s[u]) / log(units)
    correlation = mean over u < v of |corr_b(o[b, u], o[b, v])|
    ```

    `W0` and `W` are the kernel before and after the epoch, `s[u]` is the share
    of samples that unit u wins, with the largest response before the
    activation, and `o[b, u]` its output for sample b. Units whose output never
    changes have no correlation. All are dimensionless.

    Example:

    Training ends when the weights hardly move any more:

    >>> import keras
    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> images = np.random.rand(64, 9)
    >>> model = kh.HebbianSequential([kh.HebbianCompetitive(4)])
    >>> model.compile()
    >>> history = model.fit(
    ...     images,
    ...     epochs=3,
    ...     callbacks=[
    ...         kh.LearningMonitor(images),
    ...         keras.callbacks.EarlyStopping("change", mode="min", patience=5),
    ...     ],
    ...     verbose=0,
    ... )
    >>> sorted(history.history)
    ['change', 'converged', 'correlation', 'dead', 'win_entropy']

    Args:
        data: Array of inputs of the model, or `(inputs, labels)` with class
            indices. Defaults to `None`, only what needs no data.
        every: Integer >= 1, measures every so many epochs, and in the first
            and the last; in between the logs repeat what was measured last.
            Defaults to `1`.
        probe: Whether to fit a linear readout too. Defaults to `False`.

    Raises:
        ValueError: If an argument is out of range, if there are fewer than
            two samples or not one label for each; at the start of the
            training, if the model has no local layer.
    """

    def __init__(
        self, data: Any = None, every: int = 1, probe: bool = False
    ) -> None:
        super().__init__()
        self.every = check_integer("every", every, minimum=1)
        self.inputs, self.labels = (
            data if isinstance(data, tuple | list) else (data, None)
        )
        if self.inputs is not None and len(self.inputs) < 2:
            raise ValueError(
                f"Expected at least 2 samples. Received: {len(self.inputs)}"
            )
        if self.labels is not None:
            self.labels = np.asarray(self.labels)
            if self.labels.shape != (len(self.inputs),):
                raise ValueError(
                    f"Expected a class index for each of {len(self.inputs)} "
                    f"samples. Received: labels.shape={self.labels.shape}"
                )
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
        self._measured: dict[str, float] = {}
        self._first: int | None = None

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._first is None:
            self._first = epoch
        if self._is_due(epoch):
            self._before = {
                layer.name: _kernel(layer)
                for layer in local_layers(self.model)
                if layer.built and "kernel" in layer.state
            }

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._is_due(epoch):
            layers = [each for each in local_layers(self.model) if each.built]
            responses = self._responses(layers)
            measured = collect(
                layers, lambda layer: self._measure(layer, responses)
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
        """In the first epoch of a `fit`, every so many, and in the last."""
        done = epoch + 1
        return (
            epoch == self._first
            or done % self.every == 0
            or done == self.params["epochs"]
        )

    def _responses(
        self, layers: list[LocalLearningLayer]
    ) -> dict[str, np.ndarray]:
        """The response of every layer to the data, `(samples, units)`."""
        if self.inputs is None:
            return {}
        with contextlib.ExitStack() as stack:
            recorded = {
                layer.name: stack.enter_context(_recorded(layer))
                for layer in layers
            }
            for start in range(0, len(self.inputs), BATCH):
                self.model(self.inputs[start : start + BATCH], training=False)
        return {
            name: np.concatenate(each)
            for name, each in recorded.items()
            if each
        }

    def _measure(
        self, layer: LocalLearningLayer, responses: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        measures = dict(layer.report())
        if "kernel" in layer.state:
            measures["change"] = _change(
                self._before.get(layer.name), _kernel(layer)
            )
        if layer.name in responses:
            response = responses[layer.name]
            outputs = keras.ops.convert_to_numpy(layer.activation(response))
            wins = np.bincount(response.argmax(axis=-1), minlength=layer.units)
            measures["dead"] = np.mean(wins == 0)
            measures["win_entropy"] = _entropy(wins)
            measures["correlation"] = _mean_correlation(outputs)
            if self.labels is not None:
                measures["winner_accuracy"] = _winner_accuracy(
                    outputs, self.labels
                )
            if self.probe:
                measures["probe_accuracy"] = _probe_accuracy(
                    outputs, self.labels
                )
        return measures


def _kernel(layer: LocalLearningLayer) -> np.ndarray:
    """A copy of the kernel, which some backends go on writing to."""
    return np.array(keras.ops.convert_to_numpy(layer.state["kernel"]))


@contextlib.contextmanager
def _recorded(layer: LocalLearningLayer) -> Iterator[list[np.ndarray]]:
    """Lists what the layer responds while the model is called."""
    respond, recorded = layer.respond, []

    def record(inputs: Any, state: dict[str, Any]) -> Any:
        response = respond(inputs, state)
        values = keras.ops.convert_to_numpy(response)
        recorded.append(values.reshape(-1, layer.units).astype("float32"))
        return response

    layer.respond = record
    try:
        yield recorded
    finally:
        del layer.respond


def _change(before: np.ndarray | None, after: np.ndarray) -> float:
    if before is None:  # the layer was built in this epoch
        return math.inf
    size = np.linalg.norm(before)
    return float(np.linalg.norm(after - before) / size) if size else math.inf


def _entropy(wins: np.ndarray) -> float:
    shares = wins[wins > 0] / wins.sum()
    if len(wins) < 2:
        return 0.0
    return float(-np.sum(shares * np.log(shares)) / np.log(len(wins)))


def _mean_correlation(outputs: np.ndarray) -> float:
    varying = outputs[:, outputs.std(axis=0) > 0]
    units = varying.shape[1]
    if units < 2:
        return 0.0
    sizes = np.abs(np.corrcoef(varying, rowvar=False))
    return float((sizes.sum() - units) / (units * (units - 1)))


def _winner_accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on odd samples of units labelled on the even ones."""
    classifier = WinnerClassifier(int(labels.max()) + 1, name="monitor")
    with warnings.catch_warnings():  # of units that never win
        warnings.simplefilter("ignore")
        classifier.adapt(outputs[::2], labels[::2])
    scores = keras.ops.convert_to_numpy(classifier(outputs[1::2]))
    return float(np.mean(scores.argmax(axis=-1) == labels[1::2]))


def _probe_accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on odd samples of a ridge regression on the even ones."""
    from scipy.linalg import solve

    taught = outputs[::2].astype("float64")
    scale = np.maximum(taught.std(axis=0), np.finfo("float32").tiny)
    features = (taught - taught.mean(axis=0)) / scale
    targets = np.eye(labels.max() + 1)[labels[::2]]
    gram = features.T @ features
    gram[np.diag_indices_from(gram)] += RIDGE * len(features)
    centred = targets - targets.mean(axis=0)
    weights = solve(gram, features.T @ centred, assume_a="pos")
    judged = (outputs[1::2] - taught.mean(axis=0)) / scale
    scores = judged @ weights + targets.mean(axis=0)
    return float(np.mean(scores.argmax(axis=-1) == labels[1::2]))
