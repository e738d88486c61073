"""The activation function of Krotov and Hopfield's readout."""

import keras
import numpy as np
from keras import KerasTensor as Tensor
from keras import ops

from keras_hebbian._arguments import check_choice, check_real
from keras_hebbian._powers import power as to_power

GRADIENTS = ("exact", "straight_through")


@keras.saving.register_keras_serializable(package="keras_hebbian")
def rectified_power(
    x: Tensor, power: float = 4.5, gradient: str = "exact"
) -> Tensor:
    """`max(x, 0)^power`, elementwise.

    Large powers let the units with the strongest response decide. They also
    spread the outputs over many orders of magnitude: bring the inputs to one
    scale before, each sample with
    `keras.layers.RMSNormalization(trainable=False)` or each unit with
    `keras.layers.Normalization`.

    Formula:

    ```
    f(x)  = max(x, 0)^n
    f'(x) = n max(x, 0)^(n-1)    gradient="exact"
    f'(x) = 1                    gradient="straight_through"
    ```

    float16 and bfloat16 are computed in float32 and rounded once. What float16
    cannot hold becomes 65504, its largest number, and passes no exact
    gradient; at `power=4.5` that begins at 11.8.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> x = np.array([-1.0, 0.5, 2.0], dtype="float32")
    >>> outputs = kh.activations.rectified_power(x, power=3)
    >>> [float(output) for output in outputs]
    [0.0, 0.125, 8.0]

    Args:
        x: Tensor of any shape, dimensionless.
        power: Float >= 1, the power `n`. A whole number is computed by
            multiplication. Defaults to `4.5`.
        gradient: `"exact"`, or `"straight_through"`, which passes the incoming
            gradient on unchanged everywhere. Defaults to `"exact"`.

    Returns:
        A tensor like `x`; integers become `keras.config.floatx()`.

    Raises:
        ValueError: If `power` or `gradient` is out of range.

    Reference:
        Krotov and Hopfield, "Unsupervised learning by competing hidden units",
        PNAS 116(16):7723, 2019, https://doi.org/10.1073/pnas.1820458116,
        equation 1.
    """
    power = check_real("power", power, minimum=1)
    check_choice("gradient", gradient, GRADIENTS)
    x = ops.convert_to_tensor(x)
    if "float" not in keras.backend.standardize_dtype(x.dtype):
        x = ops.cast(x, keras.config.floatx())
    dtype = keras.backend.standardize_dtype(x.dtype)
    narrow = dtype in ("float16", "bfloat16")
    outputs = to_power(ops.relu(ops.cast(x, "float32") if narrow else x), power)
    if dtype == "float16":
        outputs = ops.minimum(outputs, float(np.finfo("float16").max))
    outputs = ops.cast(outputs, dtype)
    if gradient == "straight_through":
        zero = x - ops.stop_gradient(x)  # and 1 for the gradient
        zero = ops.where(ops.isfinite(x), zero, ops.zeros_like(x))
        outputs = ops.stop_gradient(outputs) + zero
    return outputs
