"""Sparse coding with homeostatic thresholds and learned lateral inhibition."""

from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import (
    Tensor,
    check_choice,
    check_positive,
    check_precision,
    check_real,
)
from keras_hebbian._grids import Grid
from keras_hebbian._replicas import check_one_replica, sum_over_replicas
from keras_hebbian.layers.local_learning import LocalLearningLayer
from keras_hebbian.layers.rate import Rate
from keras_hebbian.rules import lateral_inhibition
from keras_hebbian.rules.competitive import at_norm
from keras_hebbian.rules.lateral_inhibition import Neighbors, State


@keras.saving.register_keras_serializable(package="keras_hebbian")
class LateralInhibitionSparse(LocalLearningLayer):
    """Units that learn a sparse code of non-negative inputs.

    Each unit keeps its mean activity at `sparsity` by adapting its threshold,
    inhibits the units that are active together with it, and increases the
    weights of inputs that the active units do not yet explain.

    The defaults are meant to work without tuning. The SparseDream notebook
    uses `sparsity=0.01`, `learning_rate=0.01`, `threshold_rate=1.0`,
    `inhibition_rate=5e-4`, `norm=None` and
    `kernel_initializer=keras.initializers.RandomUniform(0.1, 1.0)`.

    Formula:

    ```
    x  *= norm / ||x||                        each sample

    q   = sigmoid(x W - t)                    activity before inhibition
    o   = sigmoid(x W - q L' - t)             activity, the outputs
    r   = o W' ;  e = (x - r) / max(r, precision)

    W  *= clip(1 + learning_rate * sum_b e' o, 0.5, 2)
    W  *= norm / ||W||                        each unit
    t  += threshold_rate * sum_b (o - sparsity)
    L  += inhibition_rate * (sum_b o o' - batch * sparsity^2),  diagonal 0
    L   = -excitation                         between neighbours
    ```

    `x` is a batch of inputs `(batch, inputs)`, `W` the kernel
    `(inputs, units)`, `t` the threshold `(units,)`, `L` the inhibition
    `(units, units)`, where `L[u, v]` acts from unit v onto unit u; a prime
    denotes a transpose. All of them are dimensionless. Weights that fall to
    `precision` become 0. Sums over `b` run over the global batch of all
    data-parallel replicas. With `norm=None` both lines with `norm` are omitted.

    `update="batch"` sums over the batch, as written. `update="sequential"`
    processes the samples one after another, each with the state after the
    previous one, and without the bounds 0.5 and 2 on the factor of `W`. This is
    exact, but much slower. Outputs are those of the state before the batch.

    With `topography` the units lie on a grid, and the last line applies: each
    excites its neighbours, up to eight, and inhibition is learned between all
    others. Neighbours that are active together become similar. The excitation
    decays with the rates, so that the units are first ordered and then become
    separate prototypes. The SparseDream notebook names lateral excitation as
    its next step; the form used here is this package's own.

    All rates must decay together (`LinearRateDecay`): if thresholds stop while
    the kernel still changes, activities miss their target. Without `norm`, a
    threshold rate of about 100 times `learning_rate` is needed, and a batch of
    about `1 / sparsity` samples, so that each unit is active about once; much
    larger batches learn less.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> layer = kh.LateralInhibitionSparse(units=4, sparsity=0.25)
    >>> outputs = layer(np.random.rand(20, 6), training=True)
    >>> tuple(outputs.shape), tuple(layer.inhibition.shape)
    ((20, 4), (4, 4))

    Args:
        units: Integer >= 2, number of units.
        sparsity: Float in (0, 1), target of the mean activity of each unit.
            With about `1 / units`, about one unit is active per sample.
            Defaults to `None`: `0.7 / units`.
        learning_rate: Float >= 0, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the layer's
            `iterations`: rate of the kernel, the relative growth per sample. A
            float becomes an assignable weight, as do the other rates. Defaults
            to `0.3`.
        threshold_rate: Float >= 0 or schedule, rate of the thresholds, per
            sample. Defaults to `3.0`.
        inhibition_rate: Float >= 0 or schedule, rate of the inhibition, per
            sample; 0 switches inhibition off. Defaults to `2.5e-3`.
        update: `"batch"` or `"sequential"`. Defaults to `"batch"`.
        norm: Float > 0, Euclidean norm to which every sample is scaled, and
            the weights of every unit at the start and after each step; `None`
            for neither. The weighted input `x W` of a unit is then `norm^2`
            times the cosine of sample and weights, whatever the brightness and
            the number of inputs. Defaults to `16.0`.
        precision: Float > 0, lower bound of `r` in the divisor of `e`; weights
            at or below it become 0. Defaults to `1e-10`.
        activation: Activation function of the outputs; learning always uses
            the sigmoid. `"linear"` returns the logits, so that units can be
            ranked where their sigmoid saturates at 1. Defaults to `"sigmoid"`.
        kernel_initializer: Initializer of the kernel, non-negative: the first
            step sets negative weights to 0. Defaults to `None`, which is
            `keras.initializers.RandomUniform(0.0, 1.0)`.
        non_negative_inhibition: Whether negative inhibition, which would
            excite, is set to 0 after each step, as in SAILnet. Defaults to
            `False`.
        topography: Integer or a tuple of one or two integers with the product
            `units`, the number of units in a row, or of rows and columns of a
            grid. Unit `i * columns + j` is in row i and column j. Defaults to
            `None`, no grid.
        excitation: Float >= 0 or schedule, how much an active unit adds to the
            logits of its neighbours on the grid. A float becomes the assignable
            weight `layer.excitation`. Defaults to `None`, which with
            `topography` is `norm^2 / 5`, a fifth of the largest weighted input.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of rank >= 2, `(..., inputs)`, non-negative. All axes
            but the last are samples. Integers are cast to floats.
        training: Whether the layer learns from `inputs`. Batches with negative,
            NaN or infinite values, or whose update would overflow, are skipped
            and counted in `layer.skipped`.

    Input shape:
        `(batch, ..., inputs)`

    Output shape:
        `(batch, ..., units)`

    Raises:
        ValueError: If an argument is out of range, if the grid of
            `topography` has a different number of units, if `excitation` is
            given without `topography`, or `topography` with neither
            `excitation` nor `norm`, if inputs have rank 1, if their last
            dimension is unknown, or if `update="sequential"` is used on several
            replicas.
        TypeError: If a rate is assigned after it was given as a schedule.

    Reference:
        Földiák, "Forming sparse representations by local anti-Hebbian
        learning", Biological Cybernetics 64:165, 1990. Zylberberg, Murphy and
        DeWeese, "A sparse coding model with synaptically local plasticity and
        spiking neurons can account for the diverse shapes of V1 simple cell
        receptive fields", PLoS Computational Biology 7(10), 2011. The
        equations are those of the SparseDream network, except for `norm` and
        `topography`.
    """

    GROWTH = (0.5, 2.0)
    """Bounds of the factor by which a batch multiplies a weight."""

    learning_rate = Rate()
    threshold_rate = Rate()
    inhibition_rate = Rate()
    excitation = Rate()
    minimum_units = 2
    state_names = ("kernel", "threshold", "inhibition", "activity")
    non_negative_inputs = True

    def __init__(
        self,
        units: int,
        sparsity: float | None = None,
        learning_rate: Any = 0.3,
        threshold_rate: Any = 3.0,
        inhibition_rate: Any = 2.5e-3,
        update: str = "batch",
        norm: float | None = 16.0,
        precision: float = 1e-10,
        activation: Any = "sigmoid",
        kernel_initializer: Any = None,
        non_negative_inhibition: bool = False,
        topography: int | tuple[int, ...] | None = None,
        excitation: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation=activation, **kwargs)
        if sparsity is None:
            sparsity = 0.7 / self.units
        self.sparsity = check_real("sparsity", sparsity, minimum=0)
        if not 0 < self.sparsity < 1:
            raise ValueError(
                "Expected `sparsity` between 0 and 1. "
                f"Received: sparsity={sparsity}"
            )
        self.learning_rate = learning_rate
        self.threshold_rate = threshold_rate
        self.inhibition_rate = inhibition_rate
        self.update = check_choice("update", update, ("batch", "sequential"))
        self.norm = None if norm is None else check_positive("norm", norm)
        self.precision = check_precision(precision)
        self.kernel_initializer = keras.initializers.get(
            keras.initializers.RandomUniform(0.0, 1.0)
            if kernel_initializer is None
            else kernel_initializer
        )
        self.non_negative_inhibition = bool(non_negative_inhibition)
        self.topography = topography
        if topography is not None:
            self._place(topography, excitation)
        elif excitation is not None:
            raise ValueError(
                "Expected `excitation` with `topography` only. "
                f"Received: excitation={excitation}, topography=None"
            )

    def _place(
        self, topography: int | tuple[int, ...], excitation: Any
    ) -> None:
        """Puts the units on a grid."""
        try:
            grid = Grid(topography)
        except ValueError:
            grid = None
        if grid is None or grid.units != self.units:
            raise ValueError(
                "Expected `topography` to be one or two integers with the "
                f"product `units`={self.units}. "
                f"Received: topography={topography!r}"
            )
        self.grid = grid
        self.topography = grid.shape
        if excitation is None:
            if self.norm is None:
                raise ValueError(
                    "Expected `excitation` as a number, or `norm`. "
                    "Received: excitation=None, norm=None"
                )
            excitation = self.norm**2 / 5
        self.excitation = excitation

    def build_state(self, input_dim: int) -> None:
        units = self.units
        self.kernel = self.add_state(
            "kernel", (input_dim, units), self._initialize
        )
        self.threshold = self.add_state("threshold", (units,), "zeros")
        self.inhibition = self.add_state("inhibition", (units, units), "zeros")
        self.activity = self.add_state(
            "activity", (units,), keras.initializers.Constant(self.sparsity)
        )

    def _initialize(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        kernel = self.kernel_initializer(shape, dtype)
        return kernel if self.norm is None else at_norm(kernel, 2, self.norm)

    def _scaled(self, inputs: Tensor) -> Tensor:
        if self.norm is None:
            return inputs
        return lateral_inhibition.scaled(inputs, self.norm)

    def respond(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        narrow = ops.cast(self._scaled(inputs), self.compute_dtype)
        return lateral_inhibition.settle(narrow, self._learned(state))

    def learn(
        self,
        inputs: Tensor,
        response: Tensor,
        state: dict[str, Tensor],
        rates: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        old = self._learned(state)
        inputs = self._scaled(inputs)
        options = (
            self.non_negative_inhibition,
            self.norm,
            self._neighbors(rates),
        )
        steps = State(
            rates["learning_rate"],
            rates["threshold_rate"],
            rates["inhibition_rate"],
        )
        if self.update == "sequential":
            check_one_replica()
            new, activity, samples = lateral_inhibition.one_by_one(
                inputs, old, steps, self.sparsity, self.precision, *options
            )
        else:
            added, activity, samples = sum_over_replicas(
                lateral_inhibition.sums(
                    inputs,
                    ops.sigmoid(response),
                    old.kernel,
                    self.sparsity,
                    self.precision,
                )
            )
            new = lateral_inhibition.step(
                old, added, steps, self.precision, self.GROWTH, *options
            )
        # An average over about ten wins of each unit.
        kept = ops.exp(samples * (-0.1 * self.sparsity))
        recent = kept * state["activity"] + (1 - kept) * (activity / samples)
        return {**new._asdict(), "activity": recent}

    def _neighbors(self, rates: dict[str, Tensor]) -> Neighbors | None:
        if self.topography is None:
            return None
        near = ops.convert_to_tensor(self.grid.adjacency, "bool")
        return Neighbors(near, rates["excitation"])

    def report(self) -> dict[str, Tensor]:
        """`activity`: mean activity as a multiple of `sparsity`, 1 on target;
        `silent`: fraction of units below a tenth of `sparsity`; `inhibition`:
        mean absolute inhibition, or excitation, between two units.

        Activity is averaged over about the last `10 / sparsity` samples.
        """
        relative = self.activity.value / self.sparsity
        silent = ops.cast(relative < 0.1, "float32")
        pairs = self.units * (self.units - 1)
        return {
            "activity": ops.mean(relative),
            "silent": ops.mean(silent),
            "inhibition": ops.sum(ops.abs(self.inhibition.value)) / pairs,
        }

    def _learned(self, state: dict[str, Tensor]) -> State:
        return State(*(state[name] for name in State._fields))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LateralInhibitionSparse":
        # The first files of this layer were written before `norm`.
        return super().from_config({"norm": None, **config})

    def get_config(self) -> dict[str, Any]:
        return {
            "excitation": None,
            **super().get_config(),
            "sparsity": self.sparsity,
            "update": self.update,
            "norm": self.norm,
            "precision": self.precision,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "non_negative_inhibition": self.non_negative_inhibition,
            "topography": self.topography,
        }
