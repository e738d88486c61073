"""Sparse coding with lateral inhibition, as pure functions.

Symbols, all dimensionless, `b` a sample, `i` an input, `u`, `v` units:

- `x[b, i]`: inputs, non-negative, `(batch, inputs)`
- `W[i, u]`: kernel, non-negative, `(inputs, units)`
- `t[u]`: thresholds, `(units,)`
- `L[u, v]`: inhibition from unit v onto unit u, 0 for u = v, `(units, units)`
- `o[b, u]`: activity after inhibition, in (0, 1), `(batch, units)`
- `s`: sparsity, the target of the mean activity

Negative values of `L` excite. On a grid `L` is fixed between neighbours and
learned between all other units.

Products are written with `@`: on torch `keras.ops.matmul` and other functions
of two tensors round float64 to float32.

Reference:
    Földiák, "Forming sparse representations by local anti-Hebbian learning",
    Biological Cybernetics 64:165, 1990. Zylberberg, Murphy and DeWeese, "A
    sparse coding model with synaptically local plasticity and spiking neurons
    can account for the diverse shapes of V1 simple cell receptive fields",
    PLoS Computational Biology 7(10), 2011. The equations are those of the
    SparseDream network, except for the grid.
"""

from typing import NamedTuple

from keras import ops

from keras_hebbian._arguments import Tensor
from keras_hebbian._backend import (
    bounded,
    one_after_another,
    product,
    zero_up_to,
)
from keras_hebbian.rules.competitive import at_norm

SHORTEST = 1e-19
"""The length of a sample whose square float32 still holds."""


class State(NamedTuple):
    """The learned state, `W`, `t` and `L`, or changes of it."""

    kernel: Tensor  # (inputs, units)
    threshold: Tensor  # (units,)
    inhibition: Tensor  # (units, units)


class Neighbors(NamedTuple):
    """Which units excite each other, and how much: `L = -excitation`."""

    near: Tensor  # (units, units), boolean and symmetric
    excitation: Tensor  # scalar


def scaled(inputs: Tensor, norm: float) -> Tensor:
    """The samples scaled to the Euclidean norm `norm`, `(batch, inputs)`.

    A sample of zeros stays zero, and one shorter than 1e-19 remains shorter.
    """
    lengths = ops.sqrt(ops.sum(inputs * inputs, axis=-1, keepdims=True))
    return inputs * (norm / bounded(lengths, SHORTEST))


def settle(inputs: Tensor, state: State) -> Tensor:
    """The logits of the activity: `x W - q L' - t`, `(batch, units)`.

    `q = sigmoid(x W - t)` is the activity before inhibition. The product with
    the kernel takes factors in the dtype of `inputs`; the rest is in the
    state's.
    """
    kernel, threshold, inhibition = state
    drive = product(inputs, kernel) - threshold  # (batch, units)
    return drive - ops.sigmoid(drive) @ ops.transpose(inhibition)


def sums(
    inputs: Tensor,
    outputs: Tensor,
    kernel: Tensor,
    sparsity: float,
    precision: float,
) -> tuple[State, Tensor, Tensor]:
    """The changes of the state by one batch, before the rates.

    ```
    kernel      sum_b e[b, i] o[b, u],  e = (x - r) / max(r, precision)
    threshold   sum_b (o[b, u] - s)
    inhibition  sum_b (o[b, u] o[b, v] - s^2)
    ```

    with the reconstruction `r = o W'`. Sums over the parts of a batch add up to
    the sums over the whole.

    Returns:
        The sums, `sum_b o[b, u]`, `(units,)`, and the number of samples.
    """
    inputs = ops.cast(inputs, outputs.dtype)
    reconstruction = outputs @ ops.transpose(kernel)  # (batch, inputs)
    error = (inputs - reconstruction) / bounded(reconstruction, precision)
    samples = ops.cast(ops.shape(inputs)[0], outputs.dtype)
    activity = ops.sum(outputs, axis=0)  # (units,)
    added = State(
        ops.transpose(error) @ outputs,
        activity - samples * sparsity,
        ops.transpose(outputs) @ outputs - samples * sparsity**2,
    )
    return added, activity, samples


def step(
    state: State,
    added: State,
    rates: State,
    precision: float,
    growth: tuple[float, float] = (0.0, float("inf")),
    non_negative: bool = False,
    norm: float | None = None,
    neighbors: Neighbors | None = None,
) -> State:
    """The state after a batch.

    ```
    W *= clip(1 + rate * added, *growth);  weights <= precision become 0
    t += rate * added
    L += rate * added, diagonal kept at 0;  non_negative: L = max(L, 0)
    ```

    With `norm`, each column of `W` is then scaled to that Euclidean norm. With
    `neighbors`, `L` between neighbours is always `-excitation`.
    """
    factor = ops.clip(1 + rates.kernel * added.kernel, *growth)
    # NaN stays NaN, so that an overflow is noticed.
    kernel = zero_up_to(state.kernel * factor, precision)
    if norm is not None:
        kernel = at_norm(kernel, 2, norm)
    threshold = state.threshold + rates.threshold * added.threshold
    inhibition = state.inhibition + rates.inhibition * added.inhibition
    if non_negative:
        inhibition = ops.relu(inhibition)
    if neighbors is not None:
        inhibition = ops.where(
            neighbors.near, -neighbors.excitation, inhibition
        )
    off_diagonal = 1 - ops.eye(inhibition.shape[0], dtype=inhibition.dtype)
    return State(kernel, threshold, inhibition * off_diagonal)


def one_by_one(
    inputs: Tensor,
    state: State,
    rates: State,
    sparsity: float,
    precision: float,
    non_negative: bool = False,
    norm: float | None = None,
    neighbors: Neighbors | None = None,
) -> tuple[State, Tensor, Tensor]:
    """The state after the samples of a batch, learned one after another.

    Returns:
        The state, `sum_b o[b, u]`, `(units,)`, and the number of samples.
    """

    def learn_sample(
        sample: Tensor, carried: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        *parts, total = carried
        state = State(*parts)
        one = ops.expand_dims(sample, axis=0)
        outputs = ops.sigmoid(settle(one, state))
        added, activity, _ = sums(
            one, outputs, state.kernel, sparsity, precision
        )
        state = step(
            state,
            added,
            rates,
            precision,
            non_negative=non_negative,
            norm=norm,
            neighbors=neighbors,
        )
        return (*state, total + activity)

    none = ops.zeros_like(state.threshold)
    *parts, total = one_after_another(learn_sample, inputs, (*state, none))
    samples = ops.cast(ops.shape(inputs)[0], total.dtype)
    return State(*parts), total, samples
