"""Figures from arrays. Knows no Keras, and opens no window."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_weights(
    kernel: np.ndarray, image_shape: tuple[int, int] | None = None
) -> "Figure":
    """Draws the weights of every unit as an image, all in one mosaic.

    Signed weights are drawn from blue over white at 0 to red, in a range
    symmetric about 0; weights without a negative value in greys from 0.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> figure = kh.plotting.plot_weights(np.random.randn(64, 20))
    >>> figure.savefig("/tmp/weights.png")

    Args:
        kernel: Array `(inputs, units)`.
        image_shape: Height and width of the image that the inputs are.
            Defaults to `None`, a square.

    Returns:
        A `matplotlib.figure.Figure`, free of pyplot.

    Raises:
        ValueError: If the kernel is no matrix, or if the image shape does not
            have as many pixels as the kernel has inputs.
    """
    from matplotlib.figure import Figure

    kernel = np.asarray(kernel, dtype="float64")
    if kernel.ndim != 2:
        raise ValueError(
            "Expected a kernel `(inputs, units)`. "
            f"Received: kernel.shape={kernel.shape}"
        )
    inputs, units = kernel.shape
    if image_shape is None:
        image_shape = (math.isqrt(inputs), math.isqrt(inputs))
    if math.prod(image_shape) != inputs:
        raise ValueError(
            f"Expected `image_shape` with {inputs} pixels, as the kernel has "
            f"inputs. Received: image_shape={image_shape}"
        )
    columns = math.ceil(math.sqrt(units))
    rows = math.ceil(units / columns)
    mosaic = _mosaic(kernel.T.reshape(units, *image_shape), rows, columns)

    largest = float(np.nanmax(np.abs(mosaic))) or 1.0
    signed = float(np.nanmin(mosaic)) < 0
    figure = Figure(figsize=(8, 8 * rows / columns), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(
        mosaic,
        cmap="RdBu_r" if signed else "Greys",
        vmin=-largest if signed else 0.0,
        vmax=largest,
        interpolation="nearest",
    )
    axes.set_axis_off()
    ticks = [-largest, 0, largest] if signed else [0, largest]
    figure.colorbar(drawn, ax=axes, ticks=ticks, shrink=0.6, format="%.2g")
    return figure


def _mosaic(tiles: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """One image of `rows` x `columns` tiles with one-pixel gaps of NaN."""
    units, height, width = tiles.shape
    framed = np.full((rows * columns, height + 1, width + 1), np.nan)
    framed[:units, :height, :width] = tiles
    framed = framed.reshape(rows, columns, height + 1, width + 1)
    mosaic = framed.transpose(0, 2, 1, 3).reshape(
        rows * (height + 1), columns * (width + 1)
    )
    return mosaic[:-1, :-1]
