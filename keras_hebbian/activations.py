"""Activation functions between local layers and readouts."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_hebbian._arguments import (
    Tensor,
    check_choice,
    check_positive,
    check_real,
)
from keras_hebbian._powers import power as to_power

GRADIENTS = ("exact", "straight_through")


@keras.saving.register_keras_serializable(package="keras_hebbian")
def rectified_power(
    x: Tensor, power: float = 4.5, gradient: str = "exact"
) -> Tensor:
    """`max(x, 0)^power`, elementwise.

    With large powers the units with the strongest response dominate. They also
    spread the outputs over many orders of magnitude, so normalize the inputs:
    each sample with `keras.layers.RMSNormalization(trainable=False)` or each
    unit with `keras.layers.Normalization`.

    Formula:

    ```
    f(x)  = max(x, 0)^n
    f'(x) = n max(x, 0)^(n-1)    gradient="exact"
    f'(x) = 1                    gradient="straight_through"
    ```

    For float16 and bfloat16 the function is computed in float32 and rounded
    once. Outputs too large for float16 become 65504, its largest number, and
    pass no exact gradient; with `power=4.5` this happens above 11.8.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> x = np.array([-1.0, 0.5, 2.0], dtype="float32")
    >>> outputs = kh.activations.rectified_power(x, power=3)
    >>> [float(output) for output in outputs]
    [0.0, 0.125, 8.0]

    Args:
        x: Tensor of any shape, dimensionless.
        power: Float >= 1, the power `n`. Integer powers are computed by
            multiplication. Defaults to `4.5`.
        gradient: `"exact"`, or `"straight_through"`, which passes the incoming
            gradient through unchanged everywhere. Defaults to `"exact"`.

    Returns:
        Tensor with the shape and dtype of `x`; integers become
        `keras.config.floatx()`.

    Raises:
        ValueError: If `power` or `gradient` is out of range.

    Reference:
        Krotov and Hopfield, "Unsupervised learning by competing hidden units",
        PNAS 116(16):7723, 2019, https://doi.org/10.1073/pnas.1820458116,
        equation 1.
    """
    power = check_real("power", power, minimum=1)
    check_choice("gradient", gradient, GRADIENTS)
    x = _floats(x)
    outputs = _rounded_once(lambda x: to_power(ops.relu(x), power), x)
    if gradient == "straight_through":
        zero = x - ops.stop_gradient(x)  # with gradient 1
        zero = ops.where(ops.isfinite(x), zero, ops.zeros_like(x))
        outputs = ops.stop_gradient(outputs) + zero
    return outputs


@keras.saving.register_keras_serializable(package="keras_hebbian")
def triangle(x: Tensor, power: float = 1.0) -> Tensor:
    """`max(x - mean, 0)^power`, with the mean over the last axis.

    Only the units that respond to a sample more than average stay active, about
    half of them. No threshold has to be tuned to the scale of the responses,
    which local rules do not fix.

    Formula:

    ```
    f(x)[b, u]  = max(x[b, u] - mean_v x[b, v], 0)^n
    ```

    The gradient is the derivative, which is 0 where `f` is 0. For float16 and
    bfloat16 the function is computed in float32 and rounded once; outputs too
    large for float16 become 65504, its largest number.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> x = np.array([[1.0, 2.0, 6.0]], dtype="float32")
    >>> outputs = kh.activations.triangle(x, power=2)
    >>> [float(output) for output in outputs[0]]
    [0.0, 0.0, 9.0]

    Args:
        x: Tensor of rank >= 1, `(..., units)`, dimensionless.
        power: Float > 0, the power `n`. Integer powers are computed by
            multiplication. Defaults to `1.0`.

    Returns:
        Tensor with the shape and dtype of `x`; integers become
        `keras.config.floatx()`.

    Raises:
        ValueError: If `power` is out of range, or if `x` is a scalar.

    Reference:
        Coates, Lee and Ng, "An analysis of single-layer networks in
        unsupervised feature learning", AISTATS 2011, for `power=1`. Journé,
        García Rodríguez, Guo and Moraitis, "Hebbian deep learning without
        feedback", ICLR 2023, for other powers.
    """
    power = check_positive("power", power)
    x = _floats(x)
    if len(x.shape) == 0:
        raise ValueError(
            "Expected a tensor of rank >= 1, `(..., units)`. Received: a scalar"
        )
    return _rounded_once(lambda x: _triangle(x, power), x)


def _triangle(x: Tensor, power: float) -> Tensor:
    # On torch `ops.mean` rounds float64 to float32.
    mean = ops.sum(x, axis=-1, keepdims=True) / x.shape[-1]
    return to_power(ops.relu(x - mean), power)


def _floats(x: Tensor) -> Tensor:
    x = ops.convert_to_tensor(x)
    if "float" not in keras.backend.standardize_dtype(x.dtype):
        x = ops.cast(x, keras.config.floatx())
    return x


def _rounded_once(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies `function` in float32 if `x` has 16 bits, and rounds once."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    narrow = dtype in ("float16", "bfloat16")
    outputs = function(ops.cast(x, "float32") if narrow else x)
    if dtype == "float16":
        outputs = ops.minimum(outputs, float(np.finfo("float16").max))
    return ops.cast(outputs, dtype)
