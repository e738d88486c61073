"""A classifier that counts which class each unit wins, without gradients."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hebbian._arguments import (
    Tensor,
    check_class_indices,
    check_integer,
)
from keras_hebbian._backend import bounded, first, visible
from keras_hebbian.layers.local_learning import LocalLearningLayer

BATCH = 1024
"""Samples whose winners are counted at once."""


@keras.saving.register_keras_serializable(package="keras_hebbian")
class WinnerClassifier(keras.layers.Layer):
    """Turns units into a classifier: the winner votes for its class.

    `adapt` counts, for every unit, how many samples of each class it wins.
    Called on new samples, the layer returns how often their winners won each
    class, as fractions that sum to 1. Units that never won have no vote:
    `adapt` warns about them, their entry in `unit_classes` is -1, and they are
    excluded from the competition.

    The winner is the unit with the largest activation in the inputs. If the
    units of a layer do not compete by its outputs, as in `HebbianCompetitive`
    with `p` other than 2, pass it as `layer`: the classifier then takes the
    inputs of that layer, and the winner is the unit with the largest drive (the
    quantity the units compete by), as during training.

    Formula:

    ```
    votes[u, c] = number of samples of class c with argmax_v a[b, v] = u
    scores[b]   = votes[w] / sum_c votes[w, c],
                  w = argmax of a[b, :] over the units that have votes
    ```

    `a` are the activations, or the drives of `layer`, `(batch, units)`,
    dimensionless; votes are counts of samples.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> activations = np.array([[1.0, 0.0], [0.9, 0.2], [0.0, 1.0]])
    >>> classifier = kh.WinnerClassifier(num_classes=3)
    >>> classifier.adapt(activations, labels=np.array([2, 2, 1]))
    >>> classifier.unit_classes.tolist()
    [2, 1]
    >>> scores = classifier(np.array([[0.3, 0.8]]))
    >>> keras.ops.convert_to_numpy(scores).argmax(axis=-1).tolist()
    [1]

    Args:
        num_classes: Integer >= 2, number of classes.
        layer: `LocalLearningLayer` whose units compete. The classifier does
            not train it. Defaults to `None`: the inputs are the activations.
            `keras.models.clone_model` copies layers one by one, so that the
            classifier of the clone asks a copy of `layer` that is not the layer
            of the clone; save and load the model instead.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of activations, `(..., units)`, or of the inputs of
            `layer`.

    Input shape:
        `(batch, ..., units)`, or the input shape of `layer`

    Output shape:
        `(batch, ..., num_classes)`. A sample with a NaN activation gets NaN
        scores, and so do all samples in a compiled model whose classifier has
        no votes, except on torch, where this is an error. Metrics that `fit`
        logs before `adapt` mean nothing.

    Raises:
        ValueError: If an argument is out of range, or if the layer is called
            without votes from `adapt`, `set_weights` or a file.
    """

    built: bool  # Keras sets it

    def __init__(
        self, num_classes: int, layer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # winners are those that `adapt` counted
        self.num_classes = check_integer("num_classes", num_classes, minimum=2)
        if layer is not None and not isinstance(layer, LocalLearningLayer):
            raise ValueError(
                "Expected `layer` to be a `LocalLearningLayer`. "
                f"Received: layer={layer!r}"
            )
        self.layer = layer

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(
                "Expected activations `(batch, ..., units)` with a known "
                f"number of units. Received: input_shape={input_shape}"
            )
        units = input_shape[-1]
        if self.layer is not None:
            units = self.layer.units
            if not self.layer.built:
                self.layer.build(input_shape)
        self.input_spec = keras.layers.InputSpec(
            min_ndim=2, axes={-1: input_shape[-1]}
        )
        self.votes = self.add_weight(
            name="votes",
            shape=(units, self.num_classes),
            initializer="zeros",
            dtype="float32",  # counts exactly up to 2 ** 24 wins
            trainable=False,
            autocast=False,
        )

    def adapt(self, activations: Any, labels: Any = None) -> None:
        """Counts the wins of every unit, discarding earlier counts.

        Args:
            activations: Array `(samples, ..., units)`, or the inputs of
                `layer` if there is one, or a dataset of
                `(activations, labels)` batches: a `tf.data.Dataset`, a
                `keras.utils.PyDataset`, a torch `DataLoader` or any finite
                iterable.
            labels: Array of class indices, one per sample, `(samples, ...)`
                or `(samples, ..., 1)`; `None` for a dataset.

        Raises:
            ValueError: If labels are not class indices in [0, `num_classes`),
                are missing or not one per sample, if activations are not
                finite or not those of the units that the layer was built for,
                or if there is no sample. Votes are then unchanged.
        """
        votes, width = None, None
        for batch, batch_labels in _batches(activations, labels):
            batch = ops.convert_to_numpy(batch)
            batch_votes = self._count(batch, batch_labels)
            width = batch.shape[-1]
            votes = batch_votes if votes is None else votes + batch_votes
        if votes is None or not votes.any():
            raise ValueError(
                "Expected at least one sample to adapt to. Received: none"
            )
        if not self.built:
            self.build((None, width))
        if votes.shape != tuple(self.votes.shape):
            raise ValueError(
                f"Expected activations of {self.votes.shape[0]} units. "
                f"Received: {len(votes)} units"
            )
        self.votes.assign(votes)
        silent = np.flatnonzero(self.unit_classes < 0).tolist()
        if silent:
            warnings.warn(
                f"{len(silent)} of {len(votes)} units won no sample and have "
                f"no class: {silent[:5]}{' ...' if len(silent) > 5 else ''}",
                stacklevel=2,
            )

    def _count(self, activations: np.ndarray, labels: Any) -> np.ndarray:
        if (
            activations.ndim < 2
            or not activations.shape[-1]
            or not np.isfinite(activations).all()
        ):
            raise ValueError(
                "Expected finite activations `(samples, ..., units)`. "
                f"Received: shape={activations.shape}, "
                f"finite={bool(np.isfinite(activations).all())}"
            )
        labels = ops.convert_to_numpy(labels)
        if labels.shape == (*activations.shape[:-1], 1):
            labels = labels[..., 0]
        if labels.shape != activations.shape[:-1]:
            raise ValueError(
                "Expected one label per sample. Received: "
                f"activations.shape={activations.shape}, "
                f"labels.shape={labels.shape}"
            )
        classes = check_class_indices(labels, self.num_classes)
        if self.layer is not None:
            if not self.layer.built:
                self.build((None, *activations.shape[1:]))
            drives = self.layer.competition(ops.convert_to_tensor(activations))
            activations = ops.convert_to_numpy(drives)
        winners = activations.argmax(axis=-1)
        votes = np.zeros((activations.shape[-1], self.num_classes))
        np.add.at(votes, (winners, classes), 1)
        return votes

    def check_votes(self) -> None:
        """Raises a `ValueError` if the layer has no votes."""
        if not self.built or not ops.convert_to_numpy(self.votes).any():
            raise ValueError(
                f"Expected `adapt` to be called before {self.name} is used. "
                "Received: a layer without votes"
            )

    @property
    def unit_classes(self) -> np.ndarray:
        """The class that each unit wins most often, `(units,)`; -1 for a unit
        that never won. Of equally frequent classes, the first.

        Raises:
            ValueError: Before `adapt`, if the layer is not built.
        """
        if not self.built:
            self.check_votes()
        votes = ops.convert_to_numpy(self.votes)
        return np.where(votes.any(axis=-1), votes.argmax(axis=-1), -1)

    @property
    def trainable(self) -> bool:
        """A flag without effect, because only `adapt` counts votes."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = value  # not that of `layer`, which others train

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        votes = self.votes.value  # in float32, because float16 would overflow
        total = ops.sum(votes, axis=-1)  # (units,)
        wins = ops.sum(total)
        if not training and visible(wins) == 0:
            self.check_votes()
        if self.layer is not None:
            inputs = self.layer.competition(inputs)
        shares = votes / bounded(total, 1)[:, None]
        rivals = ops.where(total > 0, inputs, -np.inf)
        largest, winners = first(rivals)
        scores = ops.take(shares, winners, axis=0)
        # LiteRT has no `isnan`.
        undefined = ops.any(inputs != inputs, axis=-1, keepdims=True)
        undefined = ops.logical_or(undefined, largest[..., None] == -np.inf)
        # Before the cast, because tf2onnx makes every float16 score NaN here.
        scores = ops.where(undefined, float("nan"), scores)
        return ops.cast(scores, self.compute_dtype)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        layer = self.layer and keras.saving.serialize_keras_object(self.layer)
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "layer": layer,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WinnerClassifier":
        layer = config.get("layer")
        if isinstance(layer, dict):
            layer = keras.saving.deserialize_keras_object(layer)
        return cls(**{**config, "layer": layer})


def _batches(activations: Any, labels: Any) -> Iterator[Any]:
    if labels is not None:
        sizes = np.shape(activations)[:1], np.shape(labels)[:1]
        if sizes[0] != sizes[1] or not sizes[0]:
            raise ValueError(
                "Expected one label per sample. Received: activations.shape="
                f"{np.shape(activations)}, labels.shape={np.shape(labels)}"
            )
        return (
            (activations[start : start + BATCH], labels[start : start + BATCH])
            for start in range(0, len(activations), BATCH)
        )
    if isinstance(activations, keras.utils.PyDataset):
        return (activations[i] for i in range(activations.num_batches))
    if isinstance(activations, Iterable) and not hasattr(activations, "shape"):
        return iter(activations)
    raise ValueError(
        "Expected `labels`, or a dataset of (activations, labels) batches. "
        f"Received: activations of type {type(activations).__name__}, "
        "labels=None"
    )
