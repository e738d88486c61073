"""The triangle activation function as a layer."""

from typing import Any

import keras

from keras_hebbian._arguments import Tensor, check_positive
from keras_hebbian.activations import triangle


@keras.saving.register_keras_serializable(package="keras_hebbian")
class Triangle(keras.layers.Layer):
    """`max(inputs - mean, 0)^power`, with the mean over the last axis.

    Only the units that respond to a sample more than average stay active, about
    half of them. No threshold has to be tuned to the scale of the responses,
    which local rules do not fix. Place it after a local layer, before the next
    one or a readout.

    Formula:

    ```
    f(x)[b, u]  = max(x[b, u] - mean_v x[b, v], 0)^n
    ```

    The gradient is the derivative, which is 0 where `f` is 0. Under a mixed
    policy the function is computed in float32 and rounded once; outputs too
    large for float16 become 65504, its largest number.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> outputs = kh.Triangle(power=2)(np.array([[1.0, 2.0, 6.0]]))
    >>> [float(output) for output in outputs[0]]
    [0.0, 0.0, 9.0]

    Args:
        power: Float > 0, the power `n`. Integer powers are computed by
            multiplication. Defaults to `1.0`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of rank >= 1, `(..., units)`, dimensionless.

    Input shape:
        `(..., units)`

    Output shape:
        Same shape as the inputs.

    Raises:
        ValueError: If `power` is out of range, or if inputs are a scalar.

    Reference:
        Coates, Lee and Ng, "An analysis of single-layer networks in
        unsupervised feature learning", AISTATS 2011, for `power=1`. Journé,
        García Rodríguez, Guo and Moraitis, "Hebbian deep learning without
        feedback", ICLR 2023, for other powers.
    """

    def __init__(self, power: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.power = check_positive("power", power)
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return triangle(inputs, self.power)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power}
