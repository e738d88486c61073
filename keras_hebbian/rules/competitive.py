"""Competing hidden units, the rule of Krotov and Hopfield, as pure functions.

Symbols, all dimensionless, `b` a sample, `i` an input, `u` a unit:

- `x[b, i]`: inputs, `(batch, inputs)`
- `W[i, u]`: kernel, `(inputs, units)`
- `I[b, u]`: currents, the drive that the competition ranks, `(batch, units)`
- `g[b, u]`: activation of the learning rule, `(batch, units)`
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
    return kernel * power(ops.abs(kernel), p - 2)


def norms(kernel: Tensor, p: float) -> Tensor:
    """`sum_i |W[i, u]|^p`, which learning brings to 1; `(units,)`."""
    return ops.sum(kernel * dual(kernel, p), axis=0)


def currents(inputs: Tensor, kernel: Tensor, p: float) -> Tensor:
    """`I[b, u] = sum_i sign(W[i, u]) |W[i, u]|^(p-1) x[b, i]`.

    The product runs in the dtype of `inputs`, the result has the kernel's.
    """
    products = inputs @ ops.cast(dual(kernel, p), inputs.dtype)
    return ops.cast(products, kernel.dtype)  # (batch, units)


def compete(currents: Tensor, k: int, delta: float) -> Tensor:
    """`g`: 1 for the largest current of a sample, `-delta` for the k-th.

    Equation 10 of the paper; 0 for all other units.
    """
    units = currents.shape[-1]
    _, ranked = ops.top_k(currents, k)  # (batch, k)
    # XLA turns a slice of `top_k` into a full sort; a masked sum it does not.
    rank = ops.arange(k, dtype=ranked.dtype)
    first, last = (
        ops.sum(ops.where(rank == place, ranked, 0), axis=-1)
        for place in (0, k - 1)
    )
    winner = ops.one_hot(first, units, dtype=currents.dtype)
    rival = ops.one_hot(last, units, dtype=currents.dtype)
    return winner - delta * rival  # (batch, units)


def direction(
    inputs: Tensor, kernel: Tensor, currents: Tensor, activity: Tensor
) -> Tensor:
    """`D[i, u] = sum_b g[b, u] x[b, i] - (sum_b g[b, u] I[b, u]) W[i, u]`.

    Equation 3 of the paper, summed over the batch: the directions of the
    parts of a batch add up to the direction of the whole.
    """
    inputs = ops.cast(inputs, kernel.dtype)
    hebbian = ops.transpose(inputs) @ activity  # (inputs, units)
    decay = ops.sum(activity * currents, axis=0)  # (units,)
    return hebbian - decay * kernel


def step(
    kernel: Tensor, direction: Tensor, rate: Tensor, precision: float
) -> Tensor:
    """`W + rate * D / max(max |D|, precision)`: no weight moves by more than
    `rate`. Where one would overflow, all weights become NaN."""
    largest = ops.max(ops.abs(direction), initial=precision)
    finite = largest < float("inf")
    return kernel + direction * ops.where(finite, rate / largest, float("nan"))
