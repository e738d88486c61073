"""Krotov and Hopfield's competing hidden units as a layer."""

from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor
from keras import ops

from keras_hebbian._arguments import check_integer, check_real
from keras_hebbian._backend import columns_together
from keras_hebbian._replicas import sum_over_replicas
from keras_hebbian.layers.local_learning import LocalLearningLayer
from keras_hebbian.layers.rate import Rate
from keras_hebbian.rules import competitive


@keras.saving.register_keras_serializable(package="keras_hebbian")
class HebbianCompetitive(LocalLearningLayer):
    """Units that compete for each sample and learn from it without labels.

    The unit with the largest current moves towards the sample, the unit with
    the k-th largest away from it, and every unit's weights converge to p-norm
    1. Learning happens in `call(training=True)`, so in `model.fit` of any
    Keras model; `layer.trainable = False` stops it.

    A step moves no weight by more than the rate, whatever the batch: progress
    counts steps, not samples. Anneal the rate (`LinearRateDecay`) and give
    larger batches more epochs.

    Formula:

    ```
    I[b, u]  = sum_i sign(W[i, u]) |W[i, u]|^(p-1) x[b, i]
    g[b, u]  = 1 for the largest I[b, :], -delta for the k-th largest, else 0
    D[i, u]  = sum_b g[b, u] x[b, i] - (sum_b g[b, u] I[b, u]) W[i, u]
    W       += learning_rate * D / max(max |D|, precision)

    outputs  = activation(x @ W)
    ```

    `x` is a batch of inputs `(batch, inputs)`, `W` the kernel
    `(inputs, units)`, `b` a sample, `i` an input, `u` a unit; all of them are
    dimensionless. Sums over `b` run over the global batch of all data-parallel
    replicas. The outputs are the plain product, also while learning; it equals
    the currents `I` for `p=2`.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> layer = kh.HebbianCompetitive(units=4, p=3, k=2, learning_rate=0.02)
    >>> outputs = layer(np.random.rand(20, 6), training=True)
    >>> tuple(outputs.shape), int(layer.iterations)
    ((20, 4), 1)

    Args:
        units: Integer >= 2, number of units.
        p: Float >= 1, Lebesgue norm of the weights. Larger values favour
            few strong weights. Defaults to `3.0`.
        k: Integer, 2 <= `k` <= `units`, rank of the unit that is pushed away.
            Defaults to `2`.
        delta: Float >= 0, strength of that push relative to the pull on the
            winner. Values near 1 and above make norms grow and units die.
            Defaults to `0.4`.
        learning_rate: Float >= 0, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the layer's
            `iterations`: the most that a weight moves in one step. A float
            becomes the assignable weight `layer.learning_rate`. Defaults to
            `0.02`.
        precision: Float > 0, the smallest `max |D|` that is still scaled up to
            the rate. Defaults to `1e-30`.
        activation: Activation function of the outputs; learning does not see
            it. Defaults to `None`, the plain product.
        kernel_initializer: Initializer of the kernel. Units start with a norm
            far above 1 and shrink when they win, which gives every unit its
            turn; a small initialization leaves most units dead. Non-negative
            inputs leave fewer units dead with non-negative weights, such as
            `RandomUniform(0, 2)`. Defaults to `None`, which is
            `keras.initializers.RandomNormal(0.0, 1.0)`.
        kernel_constraint: Constraint that the layer applies to the kernel
            after each step. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of rank >= 2, `(..., inputs)`. All axes but the last are
            samples. Integers are cast to the compute dtype.
        training: Whether the layer learns from `inputs`. It learns nothing
            from a batch with an infinite or undefined value, or whose update
            would overflow.

    Input shape:
        `(batch, ..., inputs)`

    Output shape:
        `(batch, ..., units)`

    Raises:
        ValueError: If an argument is out of range, if inputs have rank 1, if
            their last dimension is unknown, or if the layer itself is called
            on values that are not finite.
        TypeError: If `learning_rate` is assigned after it was given as a
            schedule.

    Reference:
        Krotov and Hopfield, "Unsupervised learning by competing hidden
        units", PNAS 116(16):7723, 2019, equations 3, 9 and 10,
        https://doi.org/10.1073/pnas.1820458116
    """

    CONVERGED_WITHIN = 0.1
    """Distance from 1 within which the p-norm of a unit counts as converged."""

    learning_rate = Rate()
    minimum_units = 2
    state_names = ("kernel",)

    def __init__(
        self,
        units: int,
        p: float = 3.0,
        k: int = 2,
        delta: float = 0.4,
        learning_rate: Any = 0.02,
        precision: float = 1e-30,
        activation: Any = None,
        kernel_initializer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation=activation, **kwargs)
        self.p = check_real("p", p, minimum=1)
        self.k = check_integer("k", k, minimum=2)
        if self.k > self.units:
            raise ValueError(
                f"Expected `k` between 2 and `units`={units}. Received: k={k}"
            )
        self.delta = check_real("delta", delta, minimum=0)
        self.learning_rate = learning_rate
        # Below the smallest normal float32 it would be rounded to 0.
        self.precision = check_real(
            "precision", precision, minimum=float(np.finfo("float32").tiny)
        )
        self.kernel_initializer = keras.initializers.get(
            keras.initializers.RandomNormal(0.0, 1.0)
            if kernel_initializer is None
            else kernel_initializer
        )
        self.kernel_constraint = keras.constraints.get(kernel_constraint)

    def build_state(self, input_dim: int) -> None:
        def initialize(shape: tuple[int, ...], dtype: str) -> Tensor:
            return columns_together(self.kernel_initializer(shape, dtype))

        self.kernel = self.add_state(
            "kernel", (input_dim, self.units), initialize
        )

    @property
    def needs_response(self) -> bool:
        """Whether the outputs are what the units compete by."""
        return self.p == 2

    def respond(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        return inputs @ ops.cast(state["kernel"], inputs.dtype)

    def learn(
        self,
        inputs: Tensor,
        response: Tensor | None,
        state: dict[str, Tensor],
        rates: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        kernel = state["kernel"]
        if self.needs_response:
            currents = ops.cast(response, kernel.dtype)
        else:
            currents = competitive.currents(inputs, kernel, self.p)
        units, drives = competitive.compete(currents, self.k)
        direction = sum_over_replicas(
            competitive.direction(inputs, kernel, units, drives, self.delta)
        )
        scale = competitive.scale(
            direction, rates["learning_rate"], self.precision
        )
        kernel = competitive.step(kernel, direction, scale)
        if self.kernel_constraint is not None:
            kernel = self.kernel_constraint(kernel)
        return {"kernel": kernel, "scale": scale}

    def sound(self, inputs: Tensor, learned: dict[str, Tensor]) -> Tensor:
        """Whether the step was finite, a scalar.

        An input that is not finite shows in the scale of the step. Known
        before the new kernel, the answer costs no second pass over it, unless
        a constraint may have spoiled it.
        """
        finite = ops.isfinite(learned["scale"])
        if self.kernel_constraint is None:
            return finite
        return ops.logical_and(finite, super().sound(inputs, learned))

    def report(self) -> dict[str, Tensor]:
        """`converged`: the share of units whose `sum_i |W[i, u]|^p` lies
        within 0.1 of 1, above or below."""
        distance = ops.abs(competitive.norms(self.kernel.value, self.p) - 1.0)
        near = ops.cast(distance < self.CONVERGED_WITHIN, "float32")
        return {"converged": ops.mean(near)}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "p": self.p,
            "k": self.k,
            "delta": self.delta,
            "precision": self.precision,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_constraint": keras.constraints.serialize(
                self.kernel_constraint
            ),
        }
