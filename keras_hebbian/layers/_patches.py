"""Patches of images, signals and volumes."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import Tensor
from keras_hebbian._backend import image_size, reflect

PADDINGS = ("valid", "same", "reflect")


def count(size: Any, kernel: int, stride: int, padding: str = "valid") -> Any:
    """The number of patches along an axis, whose size may be a tensor."""
    if padding == "valid":
        return (size - kernel) // stride + 1
    return (size + stride - 1) // stride


def border(size: Any, kernel: int, stride: int) -> tuple[Any, Any]:
    """The padding of Keras's `padding="same"` before and after an axis."""
    if stride == 1:
        total = kernel - 1
    else:
        reached = (count(size, kernel, stride, "same") - 1) * stride + kernel
        known = isinstance(size, int)
        total = (max if known else ops.maximum)(reached - size, 0)
    return total // 2, total - total // 2


def pad(
    images: Tensor,
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
) -> Tensor:
    """Images with the border that their patches need."""
    if padding == "valid":
        return images
    axes = zip(image_size(images), kernel_size, strides, strict=True)
    borders = [border(*axis) for axis in axes]
    if padding == "reflect":
        return reflect(images, borders)
    return ops.pad(images, [(0, 0), *borders, (0, 0)])


def take(
    images: Tensor, kernel_size: Sequence[int], strides: Sequence[int]
) -> Tensor:
    """All patches of images, `(batch, ..., inputs)`.

    The inputs of a patch are in the order of the axes of the images. Cutting
    one axis at a time takes `height + width` copies instead of
    `height * width`, and every exporter supports slices.
    `keras.ops.image.extract_patches` would multiply the images by an identity
    matrix.
    """
    axes = zip(image_size(images), kernel_size, strides, strict=True)
    for axis, (size, kernel, stride) in reversed([*enumerate(axes, start=1)]):
        end = size - kernel + 1  # of the first pixels of the patches
        before = (slice(None),) * axis
        images = ops.concatenate(
            [
                images[(*before, slice(place, place + end, stride))]
                for place in range(kernel)
            ],
            axis=-1,
        )
    return images


def draw(
    images: Tensor,
    kernel_size: Sequence[int],
    strides: Sequence[int],
    positions: int,
    seed: keras.random.SeedGenerator,
) -> Tensor:
    """Patches of each image at random positions, without replacement.

    Returns:
        Tensor `(batch, positions, inputs)`. No other patches are computed.
    """
    batch, channels = ops.shape(images)[0], images.shape[-1]
    sizes = image_size(images)
    counts = [
        count(*axis) for axis in zip(sizes, kernel_size, strides, strict=True)
    ]
    lots = keras.random.uniform(
        (batch, math.prod(counts)), dtype="float32", seed=seed
    )
    _, places = ops.top_k(lots, positions)  # (batch, positions)
    axes: list[Tensor] = []
    for number in reversed(counts):
        axes.insert(0, places % number)
        places = places // number
    # Pixels are numbered through the whole batch, as in `rows` below.
    pixels = ops.arange(batch, dtype="int32")[:, None]
    inside = ops.zeros((1,), "int32")
    for place, size, kernel, stride in zip(
        axes, sizes, kernel_size, strides, strict=True
    ):
        pixels = pixels * size + place * stride
        steps = ops.arange(kernel, dtype="int32")
        inside = ops.reshape(inside[:, None] * size + steps, (-1,))
    pixels = pixels[..., None] + inside  # (batch, positions, pixels)
    rows = ops.reshape(images, (-1, channels))
    inputs = math.prod(kernel_size) * channels
    return ops.reshape(ops.take(rows, pixels, axis=0), (-1, positions, inputs))
