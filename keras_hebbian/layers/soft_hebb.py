"""SoftHebb's softly competing units as a layer."""

from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import (
    Tensor,
    check_positive,
    check_precision,
    check_real,
)
from keras_hebbian._replicas import sum_over_replicas
from keras_hebbian.layers.kernel_layer import KernelLayer
from keras_hebbian.layers.rate import Rate
from keras_hebbian.rules import competitive, soft_competition


@keras.saving.register_keras_serializable(package="keras_hebbian")
class SoftHebb(KernelLayer):
    """Units that share each sample by a softmax and learn from it.

    All units learn from every sample, in proportion to their share. The winner
    moves towards the sample and, with `anti_hebbian=True`, all others away from
    it. The weights of every unit approach norm 1. Units start with a large
    norm, and each unit learns more slowly the closer it comes to norm 1.

    Soft competition allows several of these layers to learn at the same time,
    one on top of the other: the network of the reference combines
    `Convolution(SoftHebb(...))` with batch normalization, `Triangle` and
    pooling. The default arguments suit such a network. A single dense layer
    learns better with `anti_hebbian=False`, a `temperature` far below 1 (the
    authors have 1 / 12 for MNIST) and non-negative initial weights.

    No step moves a weight by more than the rate of its unit, whatever the
    batch, so progress depends on the number of steps, not of samples.

    Formula:

    ```
    u[b, j]  = sum_i x[b, i] W[i, j]
    y[b, j]  = softmax over j of u[b, j] / temperature
    g[b, j]  = y[b, j] for the largest u[b, :], -y[b, j] for all others
    D[i, j]  = sum_b g[b, j] x[b, i] - (sum_b g[b, j] u[b, j]) W[i, j]
    r[j]     = learning_rate * (| ||W[:, j]|| - 1 | + 1e-10)^rate_exponent
    W[i, j] += r[j] * D[i, j] / max(max |D|, precision)

    outputs  = activation(u)
    ```

    `x` is a batch of inputs `(batch, inputs)`, `W` the kernel
    `(inputs, units)`, `u` the responses, by which the units compete, `y` the
    shares and `g` the activations of the learning rule, all three
    `(batch, units)`, `D` the direction of the update `(inputs, units)` and `r`
    the rates of the units `(units,)`; `b` is a sample, `i` an input, `j` a
    unit. All of them are dimensionless. With `anti_hebbian=False`, `g` is `y`
    for all units. Sums over `b` run over the global batch of all data-parallel
    replicas.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> layer = kh.SoftHebb(units=4, temperature=0.5)
    >>> outputs = layer(np.random.rand(20, 6), training=True)
    >>> tuple(outputs.shape), int(layer.iterations)
    ((20, 4), 1)

    Args:
        units: Integer >= 2, number of units.
        temperature: Float > 0, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the layer's
            `iterations`: temperature of the softmax. With small values the
            winner takes all. The papers use its inverse. A float becomes the
            assignable weight `layer.temperature`, which `LinearRateDecay()`
            does not decay. Defaults to `1.0`.
        learning_rate: Float >= 0 or schedule, rate per step of a unit whose
            norm is at a distance of 1 from norm 1. A float becomes the
            assignable weight `layer.learning_rate`. Defaults to `0.045`.
        radius: Float > 0, expected initial norm of the units, for the default
            `kernel_initializer`. Defaults to `25.0`.
        rate_exponent: Float >= 0, power of the distance from norm 1 in the
            rate of a unit; 0 gives all units the same rate. Defaults to `0.5`.
        anti_hebbian: Whether all units but the winner move away from a sample.
            Defaults to `True`.
        precision: Float > 0, lower bound of `max |D|` in the update. Defaults
            to `1e-30`.
        activation: Activation function of the outputs, which learning does
            not use. Defaults to `None`, the plain product.
        kernel_initializer: Initializer of the kernel. Defaults to `None`, a
            normal distribution with standard deviation `radius / sqrt(inputs)`:
            `keras.initializers.VarianceScaling(radius**2, mode="fan_in",
            distribution="untruncated_normal")`.
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
        ValueError: If an argument is out of range, if inputs have rank 1, or
            if their last dimension is unknown.
        TypeError: If a rate is assigned after it was given as a schedule.

    Reference:
        Moraitis, Toichkin, Journé, Chua and Guo, "SoftHebb: Bayesian inference
        in unsupervised Hebbian soft winner-take-all networks", Neuromorphic
        Computing and Engineering 2(4):044017, 2022. Journé, García Rodríguez,
        Guo and Moraitis, "Hebbian deep learning without feedback", ICLR 2023.
    """

    temperature = Rate(decays=False, positive=True)
    learning_rate = Rate()
    minimum_units = 2

    def __init__(
        self,
        units: int,
        temperature: Any = 1.0,
        learning_rate: Any = 0.045,
        radius: float = 25.0,
        rate_exponent: float = 0.5,
        anti_hebbian: bool = True,
        precision: float = 1e-30,
        activation: Any = None,
        kernel_initializer: Any = None,
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
        self.temperature = temperature
        self.learning_rate = learning_rate
        self.radius = check_positive("radius", radius)
        self.rate_exponent = check_real("rate_exponent", rate_exponent, 0)
        self.anti_hebbian = bool(anti_hebbian)
        self.precision = check_precision(precision)

    def initialize(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        if self.kernel_initializer is not None:
            return super().initialize(shape, dtype)
        normal = keras.initializers.VarianceScaling(
            self.radius**2, mode="fan_in", distribution="untruncated_normal"
        )
        return normal(shape, dtype)

    def learn(
        self,
        inputs: Tensor,
        response: Tensor,
        state: dict[str, Tensor],
        rates: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        kernel = state["kernel"]
        activation = soft_competition.compete(
            response, rates["temperature"], self.anti_hebbian
        )
        direction = sum_over_replicas(
            soft_competition.direction(inputs, kernel, activation)
        )
        scale = competitive.scale(
            direction, self.unit_rates(state, rates), self.precision
        )
        learned = competitive.step(kernel, direction, scale, overwrite=True)
        return {"kernel": self.constrain(learned), "scale": scale}

    def unit_rates(
        self, state: dict[str, Tensor], rates: dict[str, Tensor]
    ) -> Tensor:
        """The rates `r` of the units, `(units,)`."""
        return soft_competition.rates(
            state["kernel"], rates["learning_rate"], self.rate_exponent
        )

    def report(self) -> dict[str, Tensor]:
        """`norm_distance`: the mean distance of the units' norms from 1, which
        learning reduces to 0."""
        norms = competitive.norms(self.kernel.value, 2)
        return {"norm_distance": ops.mean(ops.abs(norms - 1.0))}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "radius": self.radius,
            "rate_exponent": self.rate_exponent,
            "anti_hebbian": self.anti_hebbian,
            "precision": self.precision,
        }
