"""Krotov and Hopfield's competing hidden units as a layer."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import (
    Tensor,
    check_integer,
    check_precision,
    check_real,
)
from keras_hebbian._backend import branch, choose, visible
from keras_hebbian._replicas import sum_over_replicas
from keras_hebbian.layers.kernel_layer import KernelLayer
from keras_hebbian.layers.rate import Rate
from keras_hebbian.rules import competitive


@keras.saving.register_keras_serializable(package="keras_hebbian")
class HebbianCompetitive(KernelLayer):
    """Units that compete for each sample and learn from it without labels.

    Units compete by their currents, `I` below. The unit with the largest
    current moves towards the sample, the unit with the k-th largest moves away
    from it if `delta` is not 0, and the weights of every unit converge to
    p-norm 1. Learning happens in `call(training=True)`: in `fit` of
    `HebbianSequential` and `HebbianModel`, and of any Keras model that has a
    loss. `layer.trainable = False` stops it.

    No step moves a weight by more than the rate, whatever the batch, before
    units below `min_norm` are scaled up. So progress depends on the number of
    steps, not of samples. Decay the rate (`LinearRateDecay`), and train for
    more epochs with larger batches.

    The defaults are meant to work without tuning. Krotov and Hopfield use
    `p=2` or `p=3`, `delta=0.4`, `learning_rate=0.02`, `min_norm=0` and
    `kernel_initializer=keras.initializers.RandomNormal(0, 1)`.

    Formula:

    ```
    I[b, u]  = sum_i sign(W[i, u]) |W[i, u]|^(p-1) x[b, i]
    g[b, u]  = 1 for the largest I[b, :], -delta for the k-th largest, else 0
    D[i, u]  = sum_b g[b, u] x[b, i] - (sum_b g[b, u] I[b, u]) W[i, u]
    W       += learning_rate * D / max(max |D|, precision)
    W[:, u] *= max(1, min_norm / ||W[:, u]||_p)

    outputs  = activation(x @ W)
    ```

    `x` is a batch of inputs `(batch, inputs)`, `W` the kernel
    `(inputs, units)`, `b` a sample, `i` an input, `u` a unit; all of them are
    dimensionless. Sums over `b` run over the global batch of all data-parallel
    replicas. The outputs are the plain product, also during training; for `p=2`
    it equals the currents `I`.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> layer = kh.HebbianCompetitive(units=4)
    >>> outputs = layer(np.random.rand(20, 6), training=True)
    >>> tuple(outputs.shape), int(layer.iterations)
    ((20, 4), 1)

    Args:
        units: Integer >= 2, number of units.
        p: Float >= 1, order of the Lebesgue norm of the weights. Larger values
            favour few strong weights. With 1 the units compete by the signs of
            their weights alone, so `kernel_initializer` must be given. Defaults
            to `2.0`.
        k: Integer, 2 <= `k` <= `units`, rank of the unit that is pushed away.
            Defaults to `2`.
        delta: Float >= 0, strength of that push relative to the pull on the
            winner. With 0 no unit is pushed away. If all samples are similar,
            like patches of photographs, values >= 0.1 leave units dead.
            Defaults to `0.0`.
        learning_rate: Float >= 0, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the layer's
            `iterations`: the largest change of a weight in one step, before
            units below `min_norm` are scaled up. A float
            becomes the assignable weight `layer.learning_rate`. Defaults to
            `None`: `0.5 / sqrt(inputs)`, so that no unit moves farther than
            0.5 in a step.
        min_norm: Float >= 0, lower bound of the p-norm, to which smaller units
            are scaled up after each step; 0 for no bound. Defaults to `1.0`.
        precision: Float > 0, lower bound of `max |D|` in the update. Defaults
            to `1e-30`.
        activation: Activation function of the outputs, which learning does
            not use. Defaults to `None`, the plain product.
        kernel_initializer: Initializer of the kernel. Units with an initial
            norm above 1 shrink when they win, which gives every unit its turn;
            a small initial norm leaves most units dead. Defaults to `None`:
            absolute values of normal draws, with each unit scaled to p-norm
            2.5. If the first batch has negative inputs, it initializes the
            units as random sums of its samples with p-norm 2.5, whatever the
            rate, instead of being learned from. If the mean of the samples
            stands out from the noise, few of them point away from it.
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
        TypeError: If `learning_rate` is assigned after it was given as a
            schedule.

    Reference:
        Krotov and Hopfield, "Unsupervised learning by competing hidden
        units", PNAS 116(16):7723, 2019, equations 3, 9 and 10,
        https://doi.org/10.1073/pnas.1820458116
    """

    START_NORM = 2.5
    """The initial p-norm of the units by default."""

    learning_rate = Rate(optional=True)
    minimum_units = 2
    _default_rate: float | None = None  # if no other was given

    def __init__(
        self,
        units: int,
        p: float = 2.0,
        k: int = 2,
        delta: float = 0.0,
        learning_rate: Any = None,
        min_norm: float = 1.0,
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
        self.p = check_real("p", p, minimum=1)
        if self.p == 1 and kernel_initializer is None:
            raise ValueError(
                "Expected `kernel_initializer` with weights of both signs for "
                "`p=1`, where units compete by the signs of their weights "
                f"alone. Received: p={p}, kernel_initializer=None"
            )
        self.needs_response = self.p == 2  # then the units compete by it
        self.k = check_integer("k", k, minimum=2)
        if self.k > self.units:
            raise ValueError(
                f"Expected `k` between 2 and `units`={units}. Received: k={k}"
            )
        self.delta = check_real("delta", delta, minimum=0)
        self.learning_rate = learning_rate
        self.min_norm = check_real("min_norm", min_norm, minimum=0)
        self.precision = check_precision(precision)

    def build_state(self, input_dim: int) -> None:
        if self.learning_rate is None:
            self._default_rate = 0.5 / math.sqrt(input_dim)
            self.learning_rate = self._default_rate
        super().build_state(input_dim)

    def initialize(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        if self.kernel_initializer is not None:
            return super().initialize(shape, dtype)
        draw = keras.initializers.RandomNormal(0.0, 1.0)(shape, dtype)
        return competitive.start(draw, self.p, self.START_NORM)

    def drives(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        """The currents `I`, which are the response for `p=2`."""
        if self.needs_response:
            return self.respond(inputs, state)
        kernel = state["kernel"]
        return competitive.currents(self.narrow(inputs), kernel, self.p)

    def learn(
        self,
        inputs: Tensor,
        response: Tensor | None,
        state: dict[str, Tensor],
        rates: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        kernel = state["kernel"]

        def direction() -> Tensor:
            drives = response
            if not self.needs_response:
                drives = self.drives(inputs, state)
            units, drives = competitive.compete(drives, self.k)
            return competitive.direction(
                inputs, kernel, units, drives, self.delta
            )

        rates = self.unit_rates(state, rates)
        # While this is traced, it may be the first step.
        started = visible(self.iterations.value > 0)
        if self.kernel_initializer is not None or started:
            total = sum_over_replicas(direction())
            scale = competitive.scale(total, rates, self.precision)
            learned = competitive.step(kernel, total, scale, overwrite=True)
        else:
            learned, scale = self._start_or_step(
                inputs, kernel, direction, rates
            )
        if self.min_norm:
            learned = competitive.at_least(
                learned, self.p, self.min_norm, overwrite=True
            )
        return {"kernel": self.constrain(learned), "scale": scale}

    def _start_or_step(
        self,
        inputs: Tensor,
        kernel: Tensor,
        direction: Callable[[], Tensor],
        rates: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The updated kernel, or one initialized by a batch of both signs."""

        def seen() -> tuple[Tensor, competitive.Moments]:
            # Assigned weights do not have that norm, and are kept.
            norms = competitive.norms(kernel, self.p)
            untouched = ops.abs(norms - self.START_NORM) < 1e-3
            untouched = ops.logical_and(
                ops.all(untouched), ops.all(kernel >= 0)
            )
            both_signs = ops.logical_and(untouched, ops.any(inputs < 0))
            moments = competitive.moments(inputs, self.state_dtype)
            return ops.cast(both_signs, "int32"), moments

        none = ops.zeros((), self.state_dtype)
        nothing = (
            ops.zeros((), "int32"),
            competitive.Moments(
                ops.zeros((1, kernel.shape[0]), self.state_dtype), none, none
            ),
        )
        found, moments = sum_over_replicas(
            branch(self.iterations.value == 0, seen, lambda: nothing)
        )
        starts = found > 0
        total = sum_over_replicas(
            branch(
                starts,
                lambda: competitive.signed_start(inputs, kernel, moments),
                direction,
            )
        )
        scale = competitive.scale(total, rates, self.precision)
        learned = choose(
            starts,
            lambda: competitive.signed_units(total, self.p, self.START_NORM),
            lambda: competitive.step(kernel, total, scale, overwrite=True),
        )
        return learned, scale

    def report(self) -> dict[str, Tensor]:
        """`norm_distance`: the mean distance of the units' p-norms from 1,
        which learning reduces to 0."""
        norms = competitive.norms(self.kernel.value, self.p)
        return {"norm_distance": ops.mean(ops.abs(norms - 1.0))}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "HebbianCompetitive":
        # The first files of this layer were written before `min_norm`.
        return super().from_config({"min_norm": 0.0, **config})

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        rate, default = config["learning_rate"], self._default_rate
        if default is not None and math.isclose(rate, default, rel_tol=1e-6):
            config["learning_rate"] = None  # a copy may have other inputs
        return {
            **config,
            "p": self.p,
            "k": self.k,
            "delta": self.delta,
            "min_norm": self.min_norm,
            "precision": self.precision,
        }
