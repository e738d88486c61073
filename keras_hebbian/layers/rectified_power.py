"""The activation function of Krotov and Hopfield's readout as a layer."""

from typing import Any

import keras

from keras_hebbian._arguments import Tensor, check_choice, check_real
from keras_hebbian.activations import GRADIENTS, rectified_power


@keras.saving.register_keras_serializable(package="keras_hebbian")
class RectifiedPower(keras.layers.Layer):
    """`max(inputs, 0)^power`, elementwise.

    Place it between competing units and a readout: with large powers the units
    with the strongest response dominate. They also spread the outputs over many
    orders of magnitude, so normalize the inputs: each sample with
    `keras.layers.RMSNormalization(trainable=False)` or each unit with
    `keras.layers.Normalization`.

    Formula:

    ```
    f(x)  = max(x, 0)^n
    f'(x) = n max(x, 0)^(n-1)    gradient="exact"
    f'(x) = 1                    gradient="straight_through"
    ```

    Under a mixed policy the function is computed in float32 and rounded once;
    outputs too large for float16 become 65504, its largest number.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> outputs = kh.RectifiedPower(power=2)(np.array([[-1.0, 0.5, 3.0]]))
    >>> [float(output) for output in outputs[0]]
    [0.0, 0.25, 9.0]

    Args:
        power: Float >= 1, the power `n`. Integer powers are computed by
            multiplication. Defaults to `4.5`.
        gradient: `"exact"`, or `"straight_through"`, which passes the incoming
            gradient through unchanged everywhere. Defaults to `"exact"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of any shape, dimensionless.

    Input shape:
        Arbitrary.

    Output shape:
        Same shape as the inputs.

    Raises:
        ValueError: If `power` or `gradient` is out of range.

    Reference:
        Krotov and Hopfield, "Unsupervised learning by competing hidden units",
        PNAS 116(16):7723, 2019, https://doi.org/10.1073/pnas.1820458116,
        equation 1.
    """

    def __init__(
        self, power: float = 4.5, gradient: str = "exact", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.power = check_real("power", power, minimum=1)
        self.gradient = check_choice("gradient", gradient, GRADIENTS)
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return rectified_power(inputs, self.power, self.gradient)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "power": self.power,
            "gradient": self.gradient,
        }
