"""What each backend does best in its own way."""

import math

import keras
import numpy as np
from keras import KerasTensor as Tensor
from keras import ops

_GROUPED_FROM = 512  # values in a row; shorter ones are sorted soon enough


def first_and_kth(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The largest and the k-th largest value of each row, and their places.

    `(rows, columns)` to the values and the places, both `(2, rows)`.
    """
    columns = values.shape[-1]
    size = _group_size(columns, k)
    if size == 1:
        ranked, places = ops.top_k(values, k)
        return _ends(ranked, k), _ends(places, k)
    # The k largest values lie in the k groups with the largest maxima.
    count = columns // size
    groups = ops.reshape(values, (-1, size, count))
    _, best = ops.top_k(ops.max(groups, axis=1), k)  # (rows, k)
    members = ops.take_along_axis(groups, best[:, None, :], axis=2)
    ranked, places = ops.top_k(ops.reshape(members, (-1, size * k)), k)
    groups_of = ops.take_along_axis(best, places % k, axis=1)
    places = places // k * count + groups_of
    return _ends(ranked, k), _ends(places, k)


def _group_size(columns: int, k: int) -> int:
    """How many values to group: of 1 to the best size the largest that fits."""
    if keras.backend.backend() == "torch" or columns < _GROUPED_FROM:
        return 1  # torch finds them as fast without
    best = math.isqrt(columns // k)  # as many groups as members in k of them
    return next(size for size in range(best, 0, -1) if columns % size == 0)


def _ends(ranked: Tensor, k: int) -> Tensor:
    """The first and the last of k columns, `(2, rows)`."""
    if keras.backend.backend() == "torch":
        return ops.stack([ranked[:, 0], ranked[:, -1]])
    # XLA turns a slice of `top_k` into a full sort; a masked sum it does not.
    chosen = np.arange(k) == np.array([0, k - 1])[:, None, None]
    return ops.sum(ops.where(chosen, ranked, 0), axis=-1)


def sum_segments(rows: Tensor, segments: Tensor, count: int) -> Tensor:
    """The sum of the rows of each segment: `(rows, ...)` to `(..., count)`.

    `keras.ops.segment_sum` on torch rounds float64 to float32 and expands the
    indices to the size of the rows; on JAX the transpose of its result takes
    longer than the sums.
    """
    if keras.backend.backend() == "torch":
        shape = (count, *rows.shape[1:])
        sums = rows.new_zeros(shape).index_add_(0, segments, rows)
        return sums.mT if sums.ndim > 1 else sums
    if keras.backend.backend() == "jax":
        sums = ops.zeros((*rows.shape[1:], count), rows.dtype)
        return sums.at[..., segments].add(ops.transpose(rows))
    return ops.transpose(ops.segment_sum(rows, segments, count))


def add_product(total: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """`total + one * other`, on torch in place of `total`."""
    if keras.backend.backend() == "torch":
        return total.addcmul_(one, other)
    return total + one * other


def largest_magnitude(matrix: Tensor) -> Tensor:
    """The largest absolute value of a matrix, a scalar."""
    if keras.backend.backend() == "torch":
        smallest, largest = matrix.mT.aminmax()  # without a second matrix
        return ops.max(ops.stack([-smallest, largest]))
    return ops.max(ops.max(ops.abs(matrix), axis=0))


def columns_together(value: Tensor) -> Tensor:
    """A matrix whose columns each lie in one piece of memory, on torch.

    There a product reads either order equally fast, and sums over columns are
    sums of whole pieces.
    """
    if keras.backend.backend() == "torch":
        return value.mT.contiguous().mT
    return value


def choose(first: Tensor, one: dict, other: dict) -> dict:
    """The tensors of one dict or of the other, by a scalar."""
    if keras.backend.backend() == "jax":
        # XLA computes the choice with the values; a branch copies them.
        return {
            name: ops.where(first, one[name], other[name]) for name in other
        }
    if keras.backend.backend() == "torch":
        return one if first else other
    return ops.cond(first, lambda: one, lambda: other)
