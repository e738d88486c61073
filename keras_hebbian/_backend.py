"""What each backend does best in its own way."""

import keras
from keras import KerasTensor as Tensor
from keras import ops


def sum_segments(columns: Tensor, segments: Tensor, count: int) -> Tensor:
    """The sum of the columns of each segment: `(..., columns)` to
    `(..., count)`.

    `keras.ops.segment_sum` does it for rows; on torch it rounds float64 to
    float32 and expands the indices to the size of the rows, and on JAX the
    transposes around it take longer than the sums.
    """
    shape = (*columns.shape[:-1], count)
    if keras.backend.backend() == "torch":
        return columns.new_zeros(shape).index_add_(-1, segments, columns)
    if keras.backend.backend() == "jax":
        return ops.zeros(shape, columns.dtype).at[..., segments].add(columns)
    sums = ops.segment_sum(ops.transpose(columns), segments, count)
    return ops.transpose(sums)
