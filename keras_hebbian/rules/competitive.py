"""Competing hidden units, the rule of Krotov and Hopfield, as pure functions.

Symbols, all dimensionless, `b` a sample, `i` an input, `u` a unit:

- `x[b, i]`: inputs, `(batch, inputs)`
- `W[i, u]`: kernel, `(inputs, units)`
- `I[b, u]`: currents, the drives (the quantity the units compete by),
  `(batch, units)`
- `g[b, u]`: activation of the learning rule, nonzero for two units per sample
- `D[i, u]`: direction of the update, `(inputs, units)`
- `p`: order of the Lebesgue norm, which learning brings to 1 for each unit
- `k`: rank of the unit that is pushed away
- `delta`: strength of that push, relative to the pull on the winner

Products are written with `@`: on torch `keras.ops.matmul` and other functions
of two tensors round float64 to float32.

Reference:
    Krotov and Hopfield, "Unsupervised learning by competing hidden units",
    PNAS 116(16):7723, 2019, https://doi.org/10.1073/pnas.1820458116
"""

from typing import NamedTuple

from keras import ops

from keras_hebbian._arguments import Tensor
from keras_hebbian._backend import (
    add_product,
    add_segments,
    bounded,
    first_and_kth,
    largest_magnitude,
    lengths,
    multiply,
    product,
)
from keras_hebbian._powers import power

LEAST = 1e-30
"""Lower bound of norms to divide by, so that scaling keeps zeros at zero."""


def dual(kernel: Tensor, p: float) -> Tensor:
    """The weights in the currents: `sign(W) |W|^(p-1)`.

    Only a fractional `p` needs a general power, which costs as much as the
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
    """The p-norms `(sum_i |W[i, u]|^p)^(1/p)`, which learning brings to 1;
    `(units,)`. Also takes a variable or an array."""
    kernel = ops.convert_to_tensor(kernel)
    if p == 2:
        return lengths(kernel)
    return power(ops.sum(kernel * dual(kernel, p), axis=0), 1 / p)


def currents(inputs: Tensor, kernel: Tensor, p: float) -> Tensor:
    """`I[b, u] = sum_i sign(W[i, u]) |W[i, u]|^(p-1) x[b, i]`.

    Factors are multiplied in the dtype of `inputs`; the result has the
    kernel's.
    """
    return product(inputs, dual(kernel, p))  # (batch, units)


def compete(currents: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The two units that learn from each sample, and their currents.

    The first has the largest current, the second the k-th largest.

    Returns:
        Indices of the units and their currents, both `(2, batch)`.
    """
    drives, units = first_and_kth(currents, k)
    return units, drives


def start(draw: Tensor, p: float, norm: float) -> Tensor:
    """A kernel of non-negative weights, with p-norm `norm` for each unit.

    Args:
        draw: Random numbers, `(inputs, units)`.
        p: Order of the norm.
        norm: The p-norm of each unit, > 1 so that units shrink when they win
            and every unit gets its turn.
    """
    return at_norm(ops.abs(draw), p, norm)


def at_norm(kernel: Tensor, p: float, norm: float) -> Tensor:
    """The kernel with each unit scaled to the p-norm `norm`."""
    return kernel * (norm / bounded(norms(kernel, p), LEAST))


class Moments(NamedTuple):
    """Sums over the samples of a batch, which add up over its parts."""

    total: Tensor  # sum_b x[b, i], (1, inputs)
    energy: Tensor  # sum_b ||x[b, :]||^2
    samples: Tensor


def moments(inputs: Tensor, dtype: str) -> Moments:
    """The sums that `signed_start` needs of the whole batch."""
    inputs = ops.cast(inputs, dtype)
    samples = ops.cast(ops.shape(inputs)[0], dtype)
    total = ops.sum(inputs, axis=0, keepdims=True)
    return Moments(total, ops.sum(inputs * inputs), samples)


def signed_start(inputs: Tensor, kernel: Tensor, whole: Moments) -> Tensor:
    """Random sums of samples with both signs, `(inputs, units)`.

    ```
    V    = W - mean_u W
    m    = mean_b x[b, :]                            of the whole batch
    E    = sum_b ||x[b, :]||^2                       of its n samples
    f    = 1 / max(1, n - 1)^2
    s    = max(f, (n - E / (n ||m||^2)) / (n - 1))   or 1 for one sample
    a[u] = m' V[:, u]
    c[u] = max(|a[u]|, f rms(a))
    W    = sum_b x[b, :] x[b, :]' V + n s m (c - a) + f E / sqrt(inputs) V
    ```

    Units that start so overlap with the samples, which random weights hardly
    do. If the samples have a mean, half of the sums would point away from it
    and thus from most samples; the second term reverses their part along the
    mean. As the mean of some centred samples is not 0, `s` weights it as James
    and Stein do to estimate a mean, by its square less its variance.

    `f` matters for a few samples only, as when units learn online. They do
    not tell whether the data are centred, and their sums are all alike: so
    units start along their mean, each with random weights added. Sums over the
    parts of a batch add up to the sum over the whole.
    """
    inputs = ops.cast(inputs, kernel.dtype)
    # On torch `ops.mean` and `ops.maximum` round float64 to float32.
    centred = kernel - ops.sum(kernel, axis=1, keepdims=True) / kernel.shape[1]
    samples = ops.cast(ops.shape(inputs)[0], kernel.dtype)
    mean = whole.total / whole.samples
    others = bounded(whole.samples - 1, 1.0)
    few = 1 / (others * others)
    square = bounded(ops.sum(whole.total * whole.total), LEAST)
    certain = whole.samples * (1 - whole.energy / square) / others
    certain = few + ops.relu(certain - few)
    along = mean @ centred  # (1, units)
    typical = ops.sqrt(ops.sum(along * along) / kernel.shape[1])
    target = few * typical + ops.relu(ops.abs(along) - few * typical)
    sums = ops.transpose(inputs) @ (inputs @ centred)
    sums += ops.transpose(mean) * (samples * certain * (target - along))
    energy = samples * whole.energy / whole.samples
    return sums + few * energy / kernel.shape[0] ** 0.5 * centred


def signed_units(total: Tensor, p: float, norm: float) -> Tensor:
    """The kernel that starts from sums of `signed_start`, at p-norm `norm`.

    It does not depend on their scale, so that no power over- or underflows.
    """
    largest = bounded(largest_magnitude(total), LEAST)
    return at_norm(total / largest, p, norm)


def at_least(
    kernel: Tensor, p: float, norm: float, overwrite: bool = False
) -> Tensor:
    """The kernel, with units below the p-norm `norm` scaled up to it.

    A step may take a unit far below norm 1, where it loses every sample. With
    `overwrite`, the result may take the memory of the kernel.
    """
    present = bounded(norms(kernel, p), LEAST)
    factors = bounded(norm / present, 1.0)
    return multiply(kernel, factors, overwrite)


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
    0 for all others, so the sums need no product with the batch.
    """
    inputs = ops.cast(inputs, kernel.dtype)

    def add(total: Tensor, first: Tensor, second: Tensor) -> Tensor:
        parts = [(1.0, first, units[0]), (-delta, second, units[1])]
        return add_segments(total, parts if delta else parts[:1])

    none = ops.zeros((kernel.shape[-1],), kernel.dtype)
    decay = add(none, drives[0], drives[1])  # (units,)
    return add(-decay * kernel, inputs, inputs)


def scale(direction: Tensor, rate: Tensor, precision: float) -> Tensor:
    """`rate / max(max |D|, precision)`, so that no weight moves by more than
    `rate`, a scalar or one rate for each unit, `(units,)`. NaN if `D` is not
    finite.
    """
    largest = largest_magnitude(direction)
    largest = bounded(largest, precision)
    finite = largest < float("inf")
    return ops.where(finite, rate / largest, float("nan"))


def step(
    kernel: Tensor, direction: Tensor, scale: Tensor, overwrite: bool = False
) -> Tensor:
    """`W + scale * D`; with `overwrite`, the result may take the memory of
    `D`."""
    return add_product(kernel, direction, scale, overwrite)
