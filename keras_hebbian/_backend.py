"""Operations with their own code for each backend."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hebbian._arguments import Tensor

_GROUPED_FROM = 512  # values in a row; sorting shorter rows is fast enough


def first_and_kth(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The largest and the k-th largest value of each row, and their indices.

    Takes `(rows, columns)`; values and indices are both `(2, rows)`.
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


def first(values: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of each row, and its index; the first of equal ones.

    Takes `(..., columns)`; values and indices are both `(...)`. Except on
    torch, `argmax` takes twice as long, and on TensorFlow it checks the signs
    of zeros with operations that LiteRT does not have.
    """
    if keras.backend.backend() == "torch":
        return tuple(values.max(dim=-1))
    columns = values.shape[-1]
    # Without `initial` Keras rejects an empty batch.
    least = -float("inf")
    largest = ops.max(values, axis=-1, keepdims=True, initial=least)
    places = ops.where(values == largest, ops.arange(columns), columns - 1)
    return largest[..., 0], ops.min(places, axis=-1, initial=columns - 1)


def before_assignment(
    inputs: Tensor, state: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The state, copied on torch if a gradient of the inputs needs it.

    torch assigns in place, but autograd still needs the old values.
    """
    if getattr(inputs, "requires_grad", False):
        return keras.tree.map_structure(ops.copy, state)
    return state


def bounded(values: Tensor, least: float) -> Tensor:
    """The values, but at least `least`; NaN stays NaN.

    On torch `ops.maximum` rounds float64 to float32, and `ops.clip` takes
    several times as long as PyTorch's own.
    """
    if keras.backend.backend() == "torch":
        return values.clamp(min=least)
    return ops.clip(values, least, float("inf"))


def _group_size(columns: int, k: int) -> int:
    """The size of groups: the largest divisor of `columns` up to the best."""
    if keras.backend.backend() == "torch" or columns < _GROUPED_FROM:
        return 1  # torch is equally fast without groups
    best = math.isqrt(columns // k)  # then the number of groups is k * size
    return next(size for size in range(best, 0, -1) if columns % size == 0)


def _ends(ranked: Tensor, k: int) -> Tensor:
    """The first and the last of k columns, `(2, rows)`."""
    if keras.backend.backend() == "torch":
        return ranked[:, :: k - 1].mT
    # XLA turns a slice of `top_k` into a full sort, but not a masked sum.
    chosen = np.arange(k) == np.array([0, k - 1])[:, None, None]
    return ops.sum(ops.where(chosen, ranked, 0), axis=-1)


def add_segments(
    total: Tensor, parts: Sequence[tuple[float, Tensor, Tensor]]
) -> Tensor:
    """Adds the sum of the rows of each segment to `total`, on torch in place.

    Each part has a factor, the rows `(rows, ...)` that are multiplied by it,
    and the segment of each row; `total` is `(..., count)` for `count`
    segments. On torch `keras.ops.segment_sum` rounds float64 to float32 and
    expands the indices to the size of the rows; on JAX transposing its result
    takes longer than the sums, and the sums of neighbouring segments share
    cache lines.
    """
    if keras.backend.backend() == "torch":
        segmented = total.mT if total.ndim > 1 else total
        for factor, rows, segments in parts:
            segmented.index_add_(0, segments, rows, alpha=factor)
        return total
    rows = ops.concatenate(
        [rows if factor == 1 else factor * rows for factor, rows, _ in parts]
    )
    segments = ops.concatenate([segments for _, _, segments in parts])
    if keras.backend.backend() == "jax":
        order = ops.argsort(segments)
        return total.at[..., segments[order]].add(ops.transpose(rows[order]))
    sums = ops.segment_sum(rows, segments, total.shape[-1])
    return total + ops.transpose(sums)


def multiply(one: Tensor, other: Tensor, overwrite: bool = False) -> Tensor:
    """`one * other`; with `overwrite`, on torch in the memory of `one`.

    On torch new memory takes longer than the product.
    """
    if overwrite and keras.backend.backend() == "torch":
        return one.mul_(other)
    return one * other


def add_product(
    total: Tensor, one: Tensor, other: Tensor, overwrite: bool = False
) -> Tensor:
    """`total + one * other`; with `overwrite`, on torch in the memory of
    `one`."""
    if keras.backend.backend() != "torch":
        return total + one * other
    if overwrite:
        return multiply(one, other, overwrite).add_(total)
    return total.addcmul(one, other)


def negative_except(values: Tensor, columns: Tensor) -> Tensor:
    """`-values`, except for one column of each row; on torch in the memory of
    `values`.

    Takes `(rows, columns)` and indices `(rows,)`.
    """
    chosen = columns[:, None]
    if keras.backend.backend() == "torch":
        kept = values.gather(1, chosen)
        return values.neg_().scatter_(1, chosen, kept)
    places = ops.arange(values.shape[-1], dtype=chosen.dtype)
    return ops.where(places == chosen, values, -values)


def lengths(matrix: Tensor) -> Tensor:
    """The Euclidean norm of each column, on torch without a second matrix."""
    if keras.backend.backend() == "torch":
        return matrix.norm(dim=0)
    return ops.sqrt(ops.sum(matrix * matrix, axis=0))


def product(inputs: Tensor, kernel: Tensor) -> Tensor:
    """`inputs @ kernel`, multiplied in the dtype of `inputs`, which may be
    narrower; the result has the kernel's.

    JAX also adds in the dtype of the result. Sums in bfloat16 are less precise
    and take five times as long on a CPU that multiplies in bfloat16.
    """
    narrow = ops.cast(kernel, inputs.dtype)
    symbolic = keras.backend.is_keras_tensor(inputs)
    if keras.backend.backend() == "jax" and not symbolic:
        import jax

        return jax.numpy.matmul(
            inputs, narrow, preferred_element_type=kernel.dtype
        )
    return ops.cast(inputs @ narrow, kernel.dtype)


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """`one' other` of two matrices with the same number of rows, on torch with
    contiguous columns."""
    if keras.backend.backend() == "torch":
        return (other.mT @ one).mT
    return ops.transpose(one) @ other


def largest_magnitude(matrix: Tensor) -> Tensor:
    """The largest absolute value of a matrix, a scalar.

    NaN or infinite if any value is.
    """
    if keras.backend.backend() == "torch":
        smallest, largest = matrix.mT.aminmax()  # without a second matrix
        return largest.maximum(-smallest)
    largest = ops.max(ops.max(ops.abs(matrix), axis=0))
    if keras.backend.backend() == "tensorflow":
        # On a CPU, maxima of its XLA ignore NaN; sums do not.
        return ops.where(all_finite(matrix), largest, float("inf"))
    return largest


def all_finite(values: Tensor, non_negative: bool = False) -> Tensor:
    """Whether all values are finite and, if asked, not negative, a scalar."""
    if keras.backend.backend() == "torch" and values.numel():
        smallest, largest = values.aminmax()  # NaN if any value is
        above = smallest >= 0 if non_negative else smallest > -float("inf")
        return above & (largest < float("inf"))
    # One sum instead of a comparison of every value, which is slow on
    # TensorFlow. `|x| - x` is 0 for `x >= 0` only, and NaN for infinity.
    if non_negative:
        return ops.sum(ops.abs(values) - values) == 0
    return ops.isfinite(ops.sum(values))


def zero_up_to(values: Tensor, limit: float) -> Tensor:
    """The values, those `<= limit` replaced by 0. NaN stays NaN."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.nn.functional.threshold(values, limit, 0.0)
    return ops.where(values <= limit, ops.zeros_like(values), values)


def general_power(base: Tensor, exponent: float) -> Tensor:
    """A non-negative tensor to a power > 0, with slope 0 at 0.

    TensorFlow and XLA compute powers on a CPU one by one, and exponentials and
    logarithms several at once, in a fifth of the time. On torch powers are
    fast, but `ops.power` of some versions is in float32.
    """
    torch = keras.backend.backend() == "torch"
    if torch and (exponent >= 1 or not base.requires_grad):  # no slope at 0
        return base**exponent
    zero = base == 0
    base = ops.where(zero, ops.ones_like(base), base)
    powers = base**exponent if torch else ops.exp(exponent * ops.log(base))
    return ops.where(zero, ops.zeros_like(base), powers)


def columns_together(value: Tensor) -> Tensor:
    """The matrix with each column contiguous in memory, on torch.

    There products are equally fast in either order, and sums over columns read
    contiguous memory.
    """
    if keras.backend.backend() == "torch":
        return value.mT.contiguous().mT
    return value


def convolution_is_fast(with_patches: bool) -> bool:
    """Whether a convolution takes less time than a product of patches, also if
    there are patches already.

    On JAX and a CPU the product takes a third to two thirds of the time, for
    many channels, and on TensorFlow as long. On torch it takes twice as long.
    """
    if keras.backend.backend() == "jax":
        return not (with_patches or on_cpu())
    return not with_patches or keras.backend.backend() == "torch"


def on_cpu() -> bool:
    """Whether TensorFlow or JAX runs on a CPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "cpu"
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def image_size(images: Tensor) -> list[Any]:
    """Sizes of the axes between batch and channels, as numbers where known."""
    sizes = list(ops.shape(images)[1:-1])
    if keras.backend.backend() == "torch":
        # A traced size is a tensor, which exporters divide differently.
        sizes = [int(x) if hasattr(x, "dtype") else x for x in sizes]
    return sizes


def reflect(images: Tensor, borders: Sequence[tuple[int, int]]) -> Tensor:
    """Pads images `(batch, ..., channels)` by reflection."""
    if keras.backend.backend() == "torch":
        import torch

        # torch pads the last axes; `ops.pad` cannot leave out the first ones.
        amounts = [each for axis in reversed(borders) for each in axis]
        images = images.movedim(len(images.shape) - 1, 1)
        images = torch.nn.functional.pad(images, amounts, mode="reflect")
        return images.movedim(1, len(images.shape) - 1)
    return ops.pad(images, [(0, 0), *borders, (0, 0)], mode="reflect")


def shapes_differ(one: Tensor, other: Tensor) -> bool:
    """Whether two shapes are known and not equal; `other` may be a number."""
    shape = other.shape if hasattr(other, "shape") else np.shape(other)
    if keras.backend.backend() == "tensorflow":
        return not one.shape.is_compatible_with(shape)
    return tuple(one.shape) != tuple(shape)


def choose(
    first: Tensor, one: Callable[[], Any], other: Callable[[], Any]
) -> Any:
    """The result of `one` if `first` is true, else of `other`.

    Both must be cheap, with the same structure, shapes and dtypes.
    """
    if keras.backend.backend() == "jax":
        # XLA fuses the choice with the computation; a branch copies values.
        return keras.tree.map_structure(
            lambda x, y: ops.where(first, x, y), one(), other()
        )
    if keras.backend.backend() == "torch":
        return one() if first else other()
    return ops.cond(first, one, other)


def branch(
    first: Tensor, one: Callable[[], Any], other: Callable[[], Any]
) -> Any:
    """As `choose`, but computes only the result that is returned.

    A scalar whose value is known needs no branch of the backend, which JAX
    would recompile in every call outside a compiled step.
    """
    seen = visible(first)
    if seen is None:
        return ops.cond(first, one, other)
    return one() if seen else other()


def visible(value: Tensor) -> float | None:
    """The value of a scalar, or `None` while it is being traced."""
    try:
        return ops.convert_to_numpy(value).item()
    except (AttributeError, TypeError, RuntimeError):
        return None


def forget_traces() -> None:
    """Lets JAX trace every function again.

    It would reuse the trace of a method for as long as anything refers to its
    compiled form, also if attributes of the object have changed.
    """
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


def one_after_another(
    learn: Callable[[Tensor, Any], Any], inputs: Tensor, carried: Any
) -> Any:
    """What `learn(sample, carried)` returns after the last of the samples.

    JAX takes nothing from an empty batch, not even in a loop of no steps.
    """
    if inputs.shape[0] == 0:
        return carried
    return ops.fori_loop(
        0,
        ops.shape(inputs)[0],
        lambda place, carried: learn(ops.take(inputs, place, axis=0), carried),
        carried,
    )
