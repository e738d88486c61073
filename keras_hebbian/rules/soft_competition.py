"""Soft competition of units, the rule of SoftHebb, as pure functions.

Symbols, all dimensionless, `b` a sample, `i` an input, `u` a unit:

- `x[b, i]`: inputs, `(batch, inputs)`
- `W[i, u]`: kernel, `(inputs, units)`
- `d[b, u] = sum_i x[b, i] W[i, u]`: drives (the quantity the units compete
  by), `(batch, units)`
- `T`: temperature of the softmax; the papers' inverse temperature is `1 / T`
- `y[b, u]`: share of unit u in sample b, `(batch, units)`; the shares sum to 1
- `g[b, u]`: activation of the learning rule, `(batch, units)`
- `D[i, u]`: direction of the update, `(inputs, units)`
- `s`: exponent of the distance from norm 1 in the rate of a unit

The step itself is that of `keras_hebbian.rules.competitive`: `scale` divides
the direction by its largest absolute value and `step` adds it, here with a rate
for each unit.

Reference:
    Moraitis, Toichkin, Journé, Chua and Guo, "SoftHebb: Bayesian inference in
    unsupervised Hebbian soft winner-take-all networks", Neuromorphic Computing
    and Engineering 2(4):044017, 2022. Journé, García Rodríguez, Guo and
    Moraitis, "Hebbian deep learning without feedback", ICLR 2023.
"""

from keras import ops

from keras_hebbian._arguments import Tensor
from keras_hebbian._backend import correlation, first, negative_except
from keras_hebbian._powers import power
from keras_hebbian.rules.competitive import norms

AT_NORM_1 = 1e-10
"""Added to the distance from norm 1 in the rate of every unit."""


def compete(
    drives: Tensor, temperature: Tensor | float, anti_hebbian: bool
) -> Tensor:
    """`g = y`, and `-y` for all units but the winner if `anti_hebbian`.

    `y[b, :] = softmax(d[b, :] / T)`; the winner is the first unit with the
    largest drive.
    """
    shares = ops.softmax(drives / temperature, axis=-1)
    if not anti_hebbian:
        return shares
    _, winners = first(drives)
    return negative_except(shares, winners)  # (batch, units)


def direction(inputs: Tensor, kernel: Tensor, activation: Tensor) -> Tensor:
    """`D[i, u] = sum_b g[b, u] x[b, i] - (sum_b g[b, u] d[b, u]) W[i, u]`.

    The directions of the parts of a batch add up to the direction of the whole.
    As `d` is a product, `sum_b g d = sum_i W H`, where `H` is the first sum and
    has far fewer values than a batch of patches.
    """
    hebbian = correlation(inputs, activation)  # (inputs, units)
    decay = ops.sum(kernel * hebbian, axis=0)  # (units,)
    return hebbian - decay * kernel


def rates(kernel: Tensor, rate: Tensor | float, exponent: float) -> Tensor:
    """`rate * (| ||W[:, u]|| - 1 | + 1e-10)^s`, the rate of each unit;
    `(units,)`. A unit slows down as its norm approaches 1."""
    return rate * power(ops.abs(norms(kernel, 2) - 1) + AT_NORM_1, exponent)
