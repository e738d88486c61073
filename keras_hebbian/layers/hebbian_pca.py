"""Oja's and Sanger's principal components as a layer."""

from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import TINY, Tensor, check_real
from keras_hebbian._backend import bounded
from keras_hebbian._replicas import sum_over_replicas
from keras_hebbian.layers.kernel_layer import KernelLayer
from keras_hebbian.layers.rate import Rate
from keras_hebbian.rules import principal_components


@keras.saving.register_keras_serializable(package="keras_hebbian")
class HebbianPCA(KernelLayer):
    """Units that learn the principal components of their inputs.

    With `ordered=True` each unit becomes one component, in descending order of
    variance (Sanger's generalized Hebbian algorithm). With `ordered=False` the
    units together span the same subspace, and no unit is a component by itself
    (Oja's subspace rule). With one unit this is Oja's rule. The rules need no
    other normalization: the weights of the units approach norm 1 and become
    orthogonal to each other.

    The direction of a step is that of the papers, averaged over the batch. The
    papers leave its rate to the user, although it depends on the largest
    variance in the data. Here the rate is relative to the variance of the
    units, which the layer estimates, and no step is longer than 1: the weights
    never diverge, and the rate does not depend on the scale of the inputs, as
    long as float32 holds their squares.

    Formula:

    ```
    m       += a * (mean_b x[b] - m)       then x -= m     (only with center)
    y[b, u]  = sum_i x[b, i] W[i, u]
    H[i, u]  = mean_b x[b, i] y[b, u]
    Y[v, u]  = mean_b y[b, v] y[b, u],     0 for v > u if ordered
    D[i, u]  = H[i, u] - sum_v W[i, v] Y[v, u]

    s[u]    += a * (mean_b y[b, u]^2 - s[u])
    S       += a * (mean_b sum_i x[b, i]^2 - S)
    r[u]     = min(learning_rate / (s[u] + S / batch),
                   1 / sqrt(sum_i D[i, u]^2 + sum_v Y[v, u]^2))
    W[i, u] += r[u] * D[i, u]

    outputs  = activation((x - m) @ W)
    ```

    Outputs are those of the state before the batch. `x` is a batch of inputs
    `(batch, inputs)`, `W` the kernel `(inputs, units)`, `y` the responses
    `(batch, units)`, `m` the mean of the inputs `(inputs,)`, `s` the variance
    of the units `(units,)` and `S` that of the inputs; `a` is the larger of `1
    - momentum` and 1 over the number of batches so far. `m` has the unit of the
    inputs, `s` and `S` its square, and the weights and `learning_rate` are
    dimensionless. With `ordered=False` all units share one rate, computed from
    the mean of `s` and the sums over all of `D` and `Y`. Means over `b` are
    those of the global batch of all data-parallel replicas.

    Decay the rate (`LinearRateDecay`): with a constant rate the components keep
    moving with every batch.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> layer = kh.HebbianPCA(units=4, center=True)
    >>> outputs = layer(np.random.rand(20, 6), training=True)
    >>> tuple(outputs.shape), tuple(layer.variance.shape)
    ((20, 4), (4,))

    Args:
        units: Integer >= 1, number of components, at most the number of inputs.
        ordered: Whether each unit learns one component, in descending order of
            variance, or all units together the subspace. Defaults to `True`.
        center: Whether to subtract the running mean of the inputs, also at
            inference. Without it the first component of non-negative inputs is
            close to their mean. Defaults to `False`.
        learning_rate: Float >= 0, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the layer's
            `iterations`: rate relative to the variance of the units, per step.
            A float becomes the assignable weight `layer.learning_rate`.
            Defaults to `0.3`.
        momentum: Float in [0, 1), momentum of the running averages, as in
            `keras.layers.BatchNormalization`. The first `1 / (1 - momentum)`
            batches count equally. Defaults to `0.99`.
        activation: Activation function of the outputs, which learning does
            not use. Defaults to `None`.
        kernel_initializer: Initializer of the kernel. Defaults to
            `"orthogonal"`.
        kernel_constraint: Constraint that the layer applies to the kernel
            after each step. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of rank >= 2, `(..., inputs)`. All axes but the last are
            samples. Integers are cast to floats.
        training: Whether the layer learns from `inputs`. Batches with NaN or
            infinite values, or whose update would overflow, are skipped and
            counted in `layer.skipped`.

    Input shape:
        `(batch, ..., inputs)`

    Output shape:
        `(batch, ..., units)`

    Raises:
        ValueError: If an argument is out of range, if inputs have rank 1, if
            their last dimension is unknown, or if there are more units than
            inputs.
        TypeError: If `learning_rate` is assigned after it was given as a
            schedule.

    Reference:
        Oja, "A simplified neuron model as a principal component analyzer",
        Journal of Mathematical Biology 15:267, 1982. Sanger, "Optimal
        unsupervised learning in a single-layer linear feedforward neural
        network", Neural Networks 2:459, 1989. Oja, "Principal components,
        minor components, and linear neural networks", Neural Networks 5:927,
        1992.
    """

    learning_rate = Rate()
    state_names: tuple[str, ...] = ("kernel", "variance", "total_variance")

    def __init__(
        self,
        units: int,
        ordered: bool = True,
        center: bool = False,
        learning_rate: Any = 0.3,
        momentum: float = 0.99,
        activation: Any = None,
        kernel_initializer: Any = "orthogonal",
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation=activation,
            kernel_initializer=kernel_initializer,
            kernel_constraint=kernel_constraint,
            **kwargs,
        )
        self.ordered = bool(ordered)
        self.center = bool(center)
        if self.center:
            self.state_names = (*self.state_names, "mean")
        self.learning_rate = learning_rate
        self.momentum = check_real("momentum", momentum, minimum=0)
        if self.momentum >= 1:
            raise ValueError(
                "Expected `momentum` >= 0 and below 1. "
                f"Received: momentum={momentum}"
            )

    def build_state(self, input_dim: int) -> None:
        if self.units > input_dim:
            raise ValueError(
                f"Expected `units` <= {input_dim}, the number of inputs. "
                f"Received: units={self.units}"
            )
        super().build_state(input_dim)
        self.variance = self.add_state("variance", (self.units,), "zeros")
        self.total_variance = self.add_state("total_variance", (), "zeros")
        if self.center:
            self.mean = self.add_state("mean", (input_dim,), "zeros")

    def shift(self, products: Tensor, state: dict[str, Tensor]) -> Tensor:
        if not self.center:
            return products
        return products - self._along(state["mean"], state["kernel"])

    @staticmethod
    def _along(mean: Tensor, kernel: Tensor) -> Tensor:
        """The response of the units to a mean, `(units,)`."""
        return (mean[None] @ kernel)[0]

    def learn(
        self,
        inputs: Tensor,
        response: Tensor,
        state: dict[str, Tensor],
        rates: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        kernel = state["kernel"]
        weight = self._weight()

        def average(name: str, value: Tensor) -> Tensor:
            return principal_components.average(state[name], value, weight)

        samples = ops.cast(ops.shape(inputs)[0], kernel.dtype)
        samples = sum_over_replicas(samples)
        learned = {}
        if self.center:
            mean = sum_over_replicas(ops.sum(inputs, axis=0)) / samples
            learned["mean"] = average("mean", mean)
            inputs = inputs - learned["mean"]
            response = response - self._along(
                learned["mean"] - state["mean"], kernel
            )
        hebbian, total = (
            value / samples
            for value in sum_over_replicas(
                principal_components.sums(inputs, response)
            )
        )
        overlaps = principal_components.overlaps(hebbian, kernel, self.ordered)
        # LiteRT does not support `diagonal`.
        one = ops.eye(self.units, dtype=overlaps.dtype)
        learned["variance"] = average("variance", ops.sum(overlaps * one, 0))
        learned["total_variance"] = average("total_variance", total)
        direction = principal_components.direction(hebbian, kernel, overlaps)
        rates = principal_components.rates(
            direction,
            overlaps,
            self.unit_rates(state, rates),
            learned["variance"],
            learned["total_variance"] / samples,
            self.ordered,
        )
        learned["kernel"] = self.constrain(kernel + rates * direction)
        return learned

    def _weight(self) -> Tensor:
        """The weight of this batch in the running averages."""
        batches = ops.cast(self.iterations.value, self.state_dtype) + 1
        return ops.clip(1 / batches, 1 - self.momentum, 1)

    def report(self) -> dict[str, Tensor]:
        """`explained_variance`: the variance of all units as a fraction of that
        of the inputs; `orthogonality_error`: mean absolute difference between
        `W' W` and the identity matrix, which learning reduces to 0."""
        total = bounded(self.total_variance.value, TINY)
        kernel = self.kernel.value
        products = ops.transpose(kernel) @ kernel
        error = products - ops.eye(self.units, dtype=kernel.dtype)
        return {
            "explained_variance": ops.sum(self.variance.value) / total,
            "orthogonality_error": ops.mean(ops.abs(error)),
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ordered": self.ordered,
            "center": self.center,
            "momentum": self.momentum,
        }
