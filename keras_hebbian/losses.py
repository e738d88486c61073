"""The loss of Krotov and Hopfield's readout."""

import math
from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import Tensor, check_choice, check_real
from keras_hebbian._backend import visible
from keras_hebbian._powers import power as to_power

TARGETS = {"bipolar": -1.0, "binary": 0.0}  # of all other classes

EXACT = {"bfloat16": 2**8, "float16": 2**11}
"""Number of class indices that these dtypes, to which Keras casts labels, can
tell apart."""


@keras.saving.register_keras_serializable(package="keras_hebbian")
class PowerLoss(keras.losses.Loss):
    """The mean over classes of `|y_pred - target|^power`.

    The larger the power, the more the worst outputs dominate. The paper uses 6
    with tanh outputs and targets of 1 and -1.

    Formula:

    ```
    loss[b]      = mean over c of |y_pred[b, c] - target[b, c]|^m
    target[b, c] = 1 for the class of sample b,
                   else -1 (targets="bipolar") or 0 (targets="binary")
    ```

    Labels `y_true` of either kind, 1 and -1 or 1 and 0, are converted to the
    chosen targets, as are class indices.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> predictions = np.array([[0.0, 1.0], [0.0, -1.0]])
    >>> float(kh.PowerLoss(power=2)([[1, 0], [1, 0]], predictions))
    1.5
    >>> indices = kh.PowerLoss(power=2, targets="binary", from_indices=True)
    >>> float(indices([0, 1], predictions))
    1.5

    Args:
        power: Float >= 1, the power `m`. Integer powers are computed by
            multiplication. Defaults to `6`.
        targets: `"bipolar"` for targets of 1 and -1, as for tanh outputs, or
            `"binary"` for 1 and 0, as for softmax or sigmoid. Defaults to
            `"bipolar"`.
        from_indices: Whether `y_true` holds class indices, `(...)` or
            `(..., 1)`, as for `keras.losses.SparseCategoricalCrossentropy`.
            Defaults to `False`, one label per class, `(..., classes)`.
        reduction: Type of reduction over the losses of the samples, as for
            Keras's losses. Defaults to `"sum_over_batch_size"`.
        name: Name of the loss. Defaults to `"power_loss"`.
        dtype: Dtype of the computation. Defaults to `None`, which is
            `keras.config.floatx()`.

    Call arguments:
        y_true: Labels, `(..., classes)`, or class indices.
        y_pred: Predictions, `(..., classes)`, dimensionless.
        sample_weight: Weight of each sample.

    Raises:
        ValueError: If an argument is out of range, if the shapes do not match,
            if there are more class indices than the dtype can tell apart, or
            if labels are neither 1 and -1, nor 1 and 0, nor class indices. In
            a compiled step, where values cannot be checked, such a label makes
            the loss of its sample NaN.

    Reference:
        Krotov and Hopfield, "Unsupervised learning by competing hidden units",
        PNAS 116(16):7723, 2019, https://doi.org/10.1073/pnas.1820458116,
        equation 2.
    """

    def __init__(
        self,
        power: float = 6,
        targets: str = "bipolar",
        from_indices: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "power_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.power = check_real("power", power, minimum=1)
        self.targets = check_choice("targets", targets, tuple(TARGETS))
        self.from_indices = bool(from_indices)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true = ops.convert_to_tensor(y_true)  # Keras leaves lists as lists
        y_pred = ops.convert_to_tensor(y_pred)
        meant, other = self._classes(y_true, y_pred)
        kind = "class indices" if self.from_indices else "1 and -1, or 1 and 0"
        if visible(ops.all(meant | other)) == 0:
            # In NumPy, because on JAX a minimum may pass over NaN.
            seen = ops.convert_to_numpy(ops.cast(y_true, "float32"))
            raise ValueError(
                f"Expected labels of {kind}. Received: values from "
                f"{seen.min()} to {seen.max()}"
            )
        rest = ops.where(other, TARGETS[self.targets], float("nan"))
        target = ops.cast(ops.where(meant, 1.0, rest), y_pred.dtype)
        distance = ops.abs(y_pred - target)
        return ops.mean(to_power(distance, self.power), axis=-1)

    def _classes(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of the classes that the labels name and of all others."""
        expected = tuple(y_pred.shape)
        if not expected:
            raise ValueError(
                "Expected `y_pred` of shape (..., classes). Received: a scalar"
            )
        if self.from_indices:
            expected = (*expected[:-1], 1)
        if len(y_true.shape) == len(expected) - 1 and expected[-1] == 1:
            y_true = ops.expand_dims(y_true, -1)
        shape = tuple(y_true.shape)
        if len(shape) != len(expected) or any(
            None not in pair and pair[0] != pair[1]
            for pair in zip(shape, expected, strict=True)
        ):
            raise ValueError(
                f"Expected `y_true` of shape {expected} for `y_pred` of shape "
                f"{tuple(y_pred.shape)} and from_indices={self.from_indices}. "
                f"Received: y_true.shape={shape}"
            )
        if not self.from_indices:
            bipolar = ops.any(y_true == -1, axis=-1, keepdims=True)
            return y_true == 1, ops.where(bipolar, y_true == -1, y_true == 0)
        dtype = keras.backend.standardize_dtype(y_true.dtype)
        if y_pred.shape[-1] > EXACT.get(dtype, math.inf):
            raise ValueError(
                f"Expected at most {EXACT[dtype]} classes for class indices in "
                f"{dtype}. Received: {y_pred.shape[-1]} classes; pass "
                '`dtype="float32"`'
            )
        classes = ops.arange(y_pred.shape[-1], dtype=y_true.dtype)
        meant = y_true == classes
        return meant, ops.any(meant, axis=-1, keepdims=True) & ~meant

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "power": self.power,
            "targets": self.targets,
            "from_indices": self.from_indices,
            "dtype": self.dtype,
        }
