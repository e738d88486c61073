"""Principal components, the rules of Oja and Sanger, as pure functions.

Symbols, `b` a sample, `i` an input, `u` a unit. If inputs are measured in `a`,
variances are in `a^2`, and weights are dimensionless:

- `x[b, i]`: inputs, minus their mean if they are centered, `(batch, inputs)`
- `W[i, u]`: kernel, `(inputs, units)`
- `y[b, u] = sum_i x[b, i] W[i, u]`: responses, `(batch, units)`
- `H[i, u] = 1/n sum_b x[b, i] y[b, u]`: Hebbian term, the mean over the `n`
  samples of a batch, `(inputs, units)`
- `Y[v, u] = 1/n sum_b y[b, v] y[b, u]`: overlap of units v and u, 0 for
  `v > u` if units are ordered, `(units, units)`
- `D[i, u]`: direction of the update, `(inputs, units)`
- `s[u]`: running average of `1/n sum_b y[b, u]^2`, `(units,)`
- `S`: running average of `1/n sum_b,i x[b, i]^2`
- `r[u]`: rate of unit u, `(units,)`, or one rate for all units

The direction is that of the papers, averaged over a batch. The rates are not:
the papers leave them to the user, who must know the largest eigenvalue of the
data.

Reference:
    Oja, "A simplified neuron model as a principal component analyzer", Journal
    of Mathematical Biology 15:267, 1982: the rule for one unit. Sanger,
    "Optimal unsupervised learning in a single-layer linear feedforward neural
    network", Neural Networks 2:459, 1989: ordered units. Oja, "Principal
    components, minor components, and linear neural networks", Neural Networks
    5:927, 1992: the subspace. Chen and Chang, "An adaptive learning algorithm
    for principal component analysis", IEEE Transactions on Neural Networks
    6:1255, 1995: why each ordered unit needs a rate of its own.
"""

from keras import ops

from keras_hebbian._arguments import TINY, Tensor
from keras_hebbian._backend import bounded


def sums(inputs: Tensor, response: Tensor) -> tuple[Tensor, Tensor]:
    """`n H` and `sum_b,i x[b, i]^2`.

    Sums over the parts of a batch add up to the sums over the whole.

    Args:
        inputs: `(batch, inputs)`.
        response: The products of inputs and kernel, `(batch, units)`.
    """
    return ops.transpose(inputs) @ response, ops.sum(inputs * inputs)


def overlaps(hebbian: Tensor, kernel: Tensor, ordered: bool) -> Tensor:
    """`Y[v, u] = sum_i W[i, v] H[i, u]`, and 0 for `v > u` if ordered.

    As the responses are products, this is their mean product over the batch.
    """
    products = ops.transpose(kernel) @ hebbian
    return ops.triu(products) if ordered else products


def direction(hebbian: Tensor, kernel: Tensor, overlaps: Tensor) -> Tensor:
    """`D[i, u] = H[i, u] - sum_v W[i, v] Y[v, u]`.

    Each unit learns from the inputs minus their reconstruction by all units
    (Oja), or by itself and those before it (Sanger).
    """
    return hebbian - kernel @ overlaps


def rates(
    direction: Tensor,
    overlaps: Tensor,
    rate: Tensor | float,
    variance: Tensor,
    noise: Tensor,
    ordered: bool,
) -> Tensor:
    """`min(rate / (s[u] + S / n), 1 / |(D[:, u], Y[:, u])|)`.

    The first term makes the rate relative to the variance; the second keeps
    every step shorter than 1, so that weights never diverge. If not ordered,
    all units share one rate, from the mean of `s` and the norm of the whole `D`
    and `Y`, because separate rates would mix the units.

    Args:
        direction: `D`.
        overlaps: `Y`.
        rate: Learning rate, dimensionless, per step.
        variance: `s`.
        noise: `S / n`, the variance that a batch of `n` samples adds by
            chance.
        ordered: Whether each unit has its own rate.
    """
    axis = 0 if ordered else None
    if not ordered:
        # On torch `ops.mean` rounds float64 to float32.
        variance = ops.sum(variance) / variance.shape[0]
    relative = rate / bounded(variance + noise, TINY)
    longest = 1 / bounded(
        length(ops.concatenate([direction, overlaps]), axis), TINY
    )
    # On torch `ops.minimum` rounds float64 to float32.
    return ops.where(relative < longest, relative, longest)


def length(matrix: Tensor, axis: int | None) -> Tensor:
    """The Euclidean norm of each column for axis 0, of the matrix for `None`.

    Values are scaled so that squares neither overflow nor underflow.
    """
    largest = bounded(ops.max(ops.abs(matrix), axis=axis), TINY)
    scaled = matrix / largest
    return largest * ops.sqrt(ops.sum(scaled * scaled, axis=axis))


def average(before: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """A running average after a batch that has the given weight."""
    return before + weight * (value - before)
