"""A classifier that counts which class each unit wins, without gradients."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor
from keras import ops

from keras_hebbian._arguments import check_integer


@keras.saving.register_keras_serializable(package="keras_hebbian")
class WinnerClassifier(keras.layers.Layer):
    """Turns units into a classifier: the winner votes for its class.

    `adapt` counts, for every unit, in how many samples of each class it was
    the most active unit. Called on activations, the layer returns how often
    the winner won each class, as shares that add up to 1. Units that never won
    have no vote: `adapt` warns about them, their entry in `unit_classes` is
    -1, and they are left out of the competition.

    Formula:

    ```
    votes[u, c] = number of samples of class c with argmax_v a[b, v] = u
    scores[b]   = votes[w] / sum_c votes[w, c],
                  w = argmax of a[b, :] over the units that have votes
    ```

    `a` are the activations `(batch, units)`, dimensionless; votes are counts
    of samples.

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
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of activations, `(..., units)`.

    Input shape:
        `(batch, ..., units)`

    Output shape:
        `(batch, ..., num_classes)`

    Raises:
        ValueError: If an argument is out of range, or if the layer is called
            before `adapt` and without votes loaded from a file.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = check_integer("num_classes", num_classes, minimum=2)
        self._awaits_adapt = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(
                "Expected activations `(batch, ..., units)` with a known "
                f"number of units. Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(
            min_ndim=2, axes={-1: input_shape[-1]}
        )
        self.votes = self.add_weight(
            name="votes",
            shape=(input_shape[-1], self.num_classes),
            initializer="zeros",
            dtype="float32",  # counts exactly up to 2 ** 24 wins
            trainable=False,
            autocast=False,
        )

    def adapt(
        self,
        activations: Any,
        labels: Any = None,
    ) -> None:
        """Counts the wins of every unit, forgetting earlier counts.

        Args:
            activations: Array `(samples, ..., units)`, or a dataset of
                `(activations, labels)` batches: a `tf.data.Dataset`, a
                `keras.utils.PyDataset`, a torch `DataLoader` or any finite
                iterable.
            labels: Array of class indices, one per sample, `(samples, ...)`
                or `(samples, ..., 1)`; `None` for a dataset.

        Raises:
            ValueError: If labels are not class indices in [0, `num_classes`),
                if activations and labels differ in length, if activations are
                not finite, or if there is no sample. Votes stay as they were.
        """
        votes = None
        for batch in _batches(activations, labels):
            batch_votes = self._count(*batch)
            votes = batch_votes if votes is None else votes + batch_votes
        if votes is None or not votes.any():
            raise ValueError(
                "Expected at least one sample to adapt to. Received: none"
            )
        if not self.built:
            self.build((None, len(votes)))
            self.built = True
        if votes.shape != tuple(self.votes.shape):
            raise ValueError(
                f"Expected activations of {self.votes.shape[0]} units. "
                f"Received: {len(votes)} units"
            )
        self.votes.assign(votes)
        self._awaits_adapt = False
        silent = np.flatnonzero(self.unit_classes < 0)
        if silent.size:
            warnings.warn(
                f"{silent.size} of {len(votes)} units won no sample and have "
                f"no class: {silent.tolist()}",
                stacklevel=2,
            )

    def _count(self, activations: Any, labels: Any) -> np.ndarray:
        activations = ops.convert_to_numpy(activations)
        labels = ops.convert_to_numpy(labels)
        if activations.ndim < 2 or not np.isfinite(activations).all():
            raise ValueError(
                "Expected finite activations `(samples, ..., units)`. "
                f"Received: shape={activations.shape}, "
                f"finite={bool(np.isfinite(activations).all())}"
            )
        winners = activations.argmax(axis=-1)
        if labels.shape == (*winners.shape, 1):
            labels = labels[..., 0]
        if labels.shape != winners.shape:
            raise ValueError(
                "Expected one label per sample. Received: "
                f"activations.shape={activations.shape}, "
                f"labels.shape={labels.shape}"
            )
        classes = labels.astype("int64")
        if not (
            (classes == labels) & (classes >= 0) & (classes < self.num_classes)
        ).all():
            raise ValueError(
                "Expected labels to be class indices between 0 and "
                f"{self.num_classes - 1}. Received: {np.unique(labels)[:10]}"
            )
        votes = np.zeros((activations.shape[-1], self.num_classes))
        np.add.at(votes, (winners, classes), 1)
        return votes

    @property
    def unit_classes(self) -> np.ndarray:
        """The class that each unit wins most often, `(units,)`; -1 for a unit
        that never won. Of equally frequent classes, the first."""
        votes = ops.convert_to_numpy(self.votes)
        return np.where(votes.any(axis=-1), votes.argmax(axis=-1), -1)

    def call(self, inputs: Tensor) -> Tensor:
        if self._awaits_adapt:
            raise ValueError(
                f"Expected `adapt` to be called before {self.name} is used. "
                "Received: a call on a layer without votes"
            )
        votes = self.votes.value  # in float32, where float16 would overflow
        total = ops.sum(votes, axis=-1)  # (units,)
        shares = ops.cast(
            votes / ops.clip(total, 1, np.inf)[:, None], self.compute_dtype
        )
        rivals = ops.where(total > 0, inputs, -np.inf)
        # The first of the largest; `argmax` fits neither ONNX nor LiteRT.
        units = self.votes.shape[0]
        winner = ops.min(
            ops.where(
                rivals == ops.max(rivals, axis=-1, keepdims=True),
                np.arange(units, dtype="int32"),
                units - 1,
            ),
            axis=-1,
        )
        return ops.take(shares, winner, axis=0)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.num_classes)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        self._awaits_adapt = not self._has_votes()

    def set_weights(self, weights: list[Any]) -> None:
        super().set_weights(weights)
        self._awaits_adapt = not self._has_votes()

    def _has_votes(self) -> bool:
        return bool(ops.convert_to_numpy(self.votes).any())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WinnerClassifier":
        """A layer whose votes are about to be set, as for a clone."""
        layer = cls(**config)
        layer._awaits_adapt = False
        return layer


def _batches(activations: Any, labels: Any) -> Iterator[Any]:
    if labels is not None:
        return iter([(activations, labels)])
    if isinstance(activations, keras.utils.PyDataset):
        return (activations[i] for i in range(activations.num_batches))
    if isinstance(activations, Iterable) and not hasattr(activations, "shape"):
        return iter(activations)
    raise ValueError(
        "Expected `labels`, or a dataset of (activations, labels) batches. "
        f"Received: activations of type {type(activations).__name__}, "
        "labels=None"
    )
