"""Base class of layers with a kernel."""

from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import Tensor
from keras_hebbian._backend import columns_together, product
from keras_hebbian.layers.local_learning import LocalLearningLayer


class KernelLayer(LocalLearningLayer):
    """Base class of layers whose response is the product `inputs @ kernel`.

    A subclass implements `learn` and passes the new kernel through `constrain`.
    The product is computed in the compute dtype of the layer's policy,
    everything else in `state_dtype`.

    Formula:

    ```
    outputs[b, j] = activation(sum_i x[b, i] W[i, j])
    ```

    `x` is a batch of inputs `(batch, inputs)` and `W` the kernel
    `(inputs, units)`, both dimensionless.

    Example:

    Oja's rule with a constraint, using the product of the base class:

    >>> import numpy as np
    >>> from keras import ops
    >>> import keras_hebbian as kh
    >>> class Oja(kh.KernelLayer):
    ...     learning_rate = kh.Rate()
    ...
    ...     def __init__(self, units, learning_rate=0.01, **kwargs):
    ...         super().__init__(units, **kwargs)
    ...         self.learning_rate = learning_rate
    ...
    ...     def learn(self, inputs, response, state, rates):
    ...         kernel = state["kernel"]
    ...         error = inputs - response @ ops.transpose(kernel)
    ...         step = kh.sum_over_replicas(ops.transpose(error) @ response)
    ...         kernel = kernel + self.unit_rates(state, rates) * step
    ...         return {"kernel": self.constrain(kernel)}
    >>> layer = Oja(2, kernel_constraint="non_neg")
    >>> tuple(layer(np.random.rand(20, 6), training=True).shape)
    (20, 2)

    Args:
        units: Integer >= `minimum_units`, number of units.
        activation: Activation function of the outputs, which learning does
            not use. Defaults to `None`, the plain product.
        kernel_initializer: Initializer of the kernel. Defaults to
            `"glorot_normal"`.
        kernel_constraint: Constraint that the layer applies to the kernel
            after each step. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of rank >= 2, `(..., inputs)`. All axes but the last are
            samples. Integers are cast to floats.
        training: Whether the layer learns from `inputs`.

    Input shape:
        `(batch, ..., inputs)`

    Output shape:
        `(batch, ..., units)`

    Raises:
        ValueError: If an argument is out of range, if inputs have rank 1, or
            if their last dimension is unknown.

    Reference:
        Oja, "A simplified neuron model as a principal component analyzer",
        Journal of Mathematical Biology 15:267, 1982, for the example.
    """

    state_names: tuple[str, ...] = ("kernel",)

    def __init__(
        self,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_normal",
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation=activation, **kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)

    def build_state(self, input_dim: int) -> None:
        def initialize(shape: tuple[int, ...], dtype: str) -> Tensor:
            return columns_together(self.initialize(shape, dtype))

        self.kernel = self.add_state(
            "kernel", (input_dim, self.units), initialize
        )

    def initialize(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        """The initial kernel, `(inputs, units)`."""
        return self.kernel_initializer(shape, dtype)

    def narrow(self, inputs: Tensor) -> Tensor:
        """Inputs in the compute dtype, in which products are fastest."""
        return ops.cast(inputs, self.compute_dtype)

    def respond(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        products = product(self.narrow(inputs), state["kernel"])
        return self.shift(products, state)

    def shift(self, products: Tensor, state: dict[str, Tensor]) -> Tensor:
        """The response, from the products of inputs and kernel.

        By default the products themselves, `(..., units)`. A layer that
        centers its inputs subtracts the response to their mean here.
        """
        return products

    def unit_rates(
        self, state: dict[str, Tensor], rates: dict[str, Tensor]
    ) -> Tensor:
        """The learning rate of each unit, a scalar or `(units,)`.

        A rule may derive it from the state. By default it is
        `rates["learning_rate"]` for all units.
        """
        return rates["learning_rate"]

    def sound(self, inputs: Tensor, learned: dict[str, Tensor]) -> Tensor:
        """Whether the step was finite, a scalar.

        If a rule returns the `scale` of its step, which is not finite if an
        input is not, checking it needs no second pass over the kernel, unless a
        constraint may have produced NaN.
        """
        if "scale" not in learned:
            return super().sound(inputs, learned)
        finite = ops.all(ops.isfinite(learned["scale"]))
        if self.kernel_constraint is None:
            return finite
        return ops.logical_and(finite, super().sound(inputs, learned))

    def constrain(self, kernel: Tensor) -> Tensor:
        """Applies the constraint to the kernel, if there is one."""
        if self.kernel_constraint is None:
            return kernel
        return self.kernel_constraint(kernel)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_constraint": keras.constraints.serialize(
                self.kernel_constraint
            ),
        }
