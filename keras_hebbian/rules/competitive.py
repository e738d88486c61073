"""Competing hidden units, the rule of Krotov and Hopfield, as pure functions.

Symbols, all dimensionless, `b` a sample, `i` an input, `u` a unit:

- `x[b, i]`: inputs, `(batch, inputs)`
- `W[i, u]`: kernel, `(inputs, units)`
- `I[b, u]`: currents, the drive that the competition ranks, `(batch, units)`
- `g[b, u]`: activation of the learning rule, for two units of a sample not 0
- `D[i, u]`: direction of the update, `(inputs, units)`
- `p`: Lebesgue norm to which the weights of a unit converge
- `k`: rank of the unit that is pushed away
- `delta`: strength of that push, relative to the pull on the winner

Products are written with `@`: on torch `keras.ops.matmul` and other functions
of two tensors round float64 to float32.

Reference:
    Krotov and Hopfield, "Unsupervised learning by competing hidden units",
    PNAS 116(16):7723, 2019, https://doi.org/10.1073/pnas.1820458116
"""

from keras import KerasTensor as Tensor
from keras import ops

from keras_hebbian._backend import (
    add_product,
    add_segments,
    first_and_kth,
    largest_magnitude,
)
from keras_hebbian._powers import power


def dual(kernel: Tensor, p: float) -> Tensor:
    """The weights as the currents see them: `sign(W) |W|^(p-1)`.

    Only a fractional `p` calls a general power, which costs as much as the
    product of a batch with the kernel.
    """
    if p == 2:
        return kernel
    if p < 2:
        return ops.sign(kernel) * power(ops.abs(kernel), p - 1)
    powered = power(ops.abs(kernel), p - 2)
    powered *= kernel
    return powered


def norms(kernel: Tensor, p: float) -> Tensor:
    """`sum_i |W[i, u]|^p`, which learning brings to 1; `(units,)`."""
    return ops.sum(kernel * dual(kernel, p), axis=0)


def currents(inputs: Tensor, kernel: Tensor, p: float) -> Tensor:
    """`I[b, u] = sum_i sign(W[i, u]) |W[i, u]|^(p-1) x[b, i]`.

    The product runs in the dtype of `inputs`, the result has the kernel's.
    """
    products = inputs @ ops.cast(dual(kernel, p), inputs.dtype)
    return ops.cast(products, kernel.dtype)  # (batch, units)


def compete(currents: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The two units that learn from each sample, and what drives them.

    First the unit with the largest current, then the one with the k-th.

    Returns:
        Indices of the units and their currents, both `(2, batch)`.
    """
    drives, units = first_and_kth(currents, k)
    return units, drives


def direction(
    inputs: Tensor,
    kernel: Tensor,
    units: Tensor,
    drives: Tensor,
    delta: float,
) -> Tensor:
    """`D[i, u] = sum_b g[b, u] x[b, i] - (sum_b g[b, u] I[b, u]) W[i, u]`.

    Equation 3 of the paper, summed over the batch: the directions of the
    parts of a batch add up to the direction of the whole. By equation 10, `g`
    is 1 for the first of the `units` of a sample, `-delta` for the second and
    0 for all others, so that the sums need no product with the batch.
    """
    inputs = ops.cast(inputs, kernel.dtype)
    units = ops.reshape(units, (-1,))

    def add(total: Tensor, first: Tensor, second: Tensor) -> Tensor:
        rows = ops.concatenate([first, -delta * second])
        return add_segments(total, rows, units)

    none = ops.zeros((kernel.shape[-1],), kernel.dtype)
    decay = add(none, drives[0], drives[1])  # (units,)
    return add(-decay * kernel, inputs, inputs)


def scale(direction: Tensor, rate: Tensor, precision: float) -> Tensor:
    """`rate / max(max |D|, precision)`, a scalar, with which no weight moves
    by more than `rate`. NaN, where a `D` is undefined or not finite.
    """
    largest = largest_magnitude(direction)
    largest = ops.clip(largest, precision, float("inf"))
    finite = largest < float("inf")
    return ops.where(finite, rate / largest, float("nan"))


def step(kernel: Tensor, direction: Tensor, scale: Tensor) -> Tensor:
    """`W + scale * D`. On torch the result takes the place of `direction`."""
    return add_product(kernel, direction, scale)
