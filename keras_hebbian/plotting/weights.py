"""Weights as images."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_hebbian._arguments import check_integer


def plot_weights(
    kernel: Any,
    image_shape: Sequence[int] | None = None,
    rows: int | None = None,
    columns: int | None = None,
    units: int | Iterable[int] | None = None,
    wins: Any = None,
    seed: int | None = None,
    labels: Sequence[Any] | None = None,
    title: str | None = None,
    side: int = 800,
) -> Figure:
    """Draws the weights of every unit as an image, all in one mosaic.

    Signed weights are drawn from blue through white at 0 to red, in a range
    symmetric about 0; non-negative weights in greys from 0; and weights of
    three channels as colour images, scaled from the smallest to the largest of
    all weights. Values that are not finite are left blank. Each weight takes a
    whole number of pixels, so that nothing is blurred.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> kernel = np.random.randn(64, 2000)
    >>> figure = kh.plotting.plot_weights(kernel, units=100, seed=0)
    >>> figure.savefig("/tmp/weights.png")

    Args:
        kernel: Array `(inputs, units)`.
        image_shape: `(height, width)` of the image that the inputs form, or
            `(height, width, 3)` for colour. Defaults to `None`, a square image,
            in colour only if no other fits.
        rows: Number of rows of tiles. Defaults to `None`, from `columns` or
            for a mosaic about as wide as high.
        columns: Number of columns of tiles. Defaults to `None`, as for `rows`.
        units: Number or indices of the units to draw. Defaults to `None`, all
            that fit in `rows` times `columns`.
        wins: Array `(units,)`, number of wins of each unit, to draw those with
            the most wins first. Defaults to `None`, units in their order.
        seed: Integer, seed to choose units at random, in their order. Defaults
            to `None`, the first `units`.
        labels: A label for each unit of the kernel, such as its class, to
            write under its tile. Defaults to `None`.
        title: Text above the mosaic. Defaults to `None`.
        side: Integer >= 1, approximate minimum size in pixels; smaller mosaics
            are scaled up. Defaults to `800`.

    Returns:
        A `matplotlib.figure.Figure`, not registered with pyplot.

    Raises:
        ValueError: If the kernel is not a matrix, if the image shape does not
            have one pixel for each input of the kernel, or if other arguments
            do not match the kernel or each other.
    """
    from ._mosaic import draw_mosaic  # which imports matplotlib

    kernel = np.asarray(kernel, dtype="float32")
    if kernel.ndim != 2 or not kernel.size:
        raise ValueError(
            "Expected a kernel `(inputs, units)`. "
            f"Received: kernel.shape={kernel.shape}"
        )
    image_shape = fit_image_shape(len(kernel), image_shape)
    side = check_integer("side", side, minimum=1)
    chosen, rows, columns, labels = arrange(
        kernel.shape[1], rows, columns, units, wins, seed, labels
    )
    tiles = kernel.T[chosen].reshape(len(chosen), *image_shape)
    tiles = np.where(np.isfinite(tiles), tiles, np.float32(np.nan))
    return draw_mosaic(tiles, rows, columns, labels, title, side)


def arrange(
    count: int,
    rows: int | None = None,
    columns: int | None = None,
    units: int | Iterable[int] | None = None,
    wins: Any = None,
    seed: int | None = None,
    labels: Sequence[Any] | None = None,
) -> tuple[np.ndarray, int, int, list[str] | None]:
    """The units to draw, rows and columns, and labels, for `count` units."""
    if rows is not None:
        rows = check_integer("rows", rows, minimum=1)
    if columns is not None:
        columns = check_integer("columns", columns, minimum=1)
    if units is None and rows and columns:
        units = min(rows * columns, count)
    chosen = choose_units(count, units, wins, seed)
    rows, columns = tile(len(chosen), rows, columns)
    if labels is not None:
        if len(labels) != count:
            raise ValueError(
                f"Expected a label for each of {count} units. "
                f"Received: {len(labels)} labels"
            )
        labels = [str(labels[unit]) for unit in chosen]
    return chosen, rows, columns, labels


def fit_image_shape(
    inputs: int, image_shape: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Infers an image shape from the number of inputs.

    Example:

    >>> import keras_hebbian as kh
    >>> kh.plotting.fit_image_shape(784), kh.plotting.fit_image_shape(3072)
    ((28, 28), (32, 32, 3))

    Args:
        inputs: Integer, number of inputs.
        image_shape: `(height, width)`, `(height, width, 1)` or
            `(height, width, 3)`. Defaults to `None`, a square image, in colour
            only if no other fits.

    Returns:
        `(height, width)` or `(height, width, 3)`.

    Raises:
        ValueError: If no such image has this number of values.
    """
    inputs = check_integer("inputs", inputs, minimum=1)
    if image_shape is None:
        side, colour_side = math.isqrt(inputs), math.isqrt(inputs // 3)
        if side**2 == inputs:
            return side, side
        if 3 * colour_side**2 == inputs:
            return colour_side, colour_side, 3
    else:
        shape = tuple(np.atleast_1d(np.asarray(image_shape)).tolist())
        known = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
        known = known and all(type(x) is int and x > 0 for x in shape)
        if known and math.prod(shape) == inputs:
            return shape[:2] if shape[2:] == (1,) else shape
    raise ValueError(
        "Expected `image_shape` to be (height, width) or (height, width, 3) of "
        f"images of {inputs} values; only a square can be inferred. "
        f"Received: image_shape={image_shape}"
    )


def choose_units(
    count: int,
    units: int | Iterable[int] | None,
    wins: Any = None,
    seed: int | None = None,
    name: str = "units",
) -> np.ndarray:
    """The indices of the units to draw, in the order to draw them."""
    chosen = None
    if units is not None and not isinstance(units, int | np.integer):
        given = list(units) if isinstance(units, Iterable) else [units]
        chosen = np.asarray(given)
    if sum(given is not None for given in (wins, seed, chosen)) > 1:
        raise ValueError(
            "Expected only one of `wins`, `seed` and indices of `units`. "
            f"Received: wins={wins}, seed={seed}, units={units}"
        )
    if wins is not None and len(wins) != count:
        raise ValueError(
            f"Expected the wins of each of {count} units. "
            f"Received: {len(wins)} wins"
        )
    if chosen is None:
        wanted = units if isinstance(units, int | np.integer) else count
        if not 1 <= wanted <= count:
            raise ValueError(
                f"Expected `{name}` between 1 and {count}. "
                f"Received: {name}={units}"
            )
        if wins is not None:
            wins = np.asarray(wins, "float64")  # unsigned ones have no minus
            return np.argsort(-wins, kind="stable")[:wanted]
        if seed is not None:
            drawn = np.random.default_rng(seed).permutation(count)[:wanted]
            return np.sort(drawn)
        return np.arange(wanted)
    if (
        not chosen.size
        or not np.issubdtype(chosen.dtype, np.integer)
        or not np.all((chosen >= 0) & (chosen < count))
    ):
        raise ValueError(
            f"Expected `{name}` to be indices between 0 and {count - 1}. "
            f"Received: {name}={chosen}"
        )
    return chosen


def tile(
    count: int, rows: int | None = None, columns: int | None = None
) -> tuple[int, int]:
    """Rows and columns for `count` tiles, without gaps if possible."""
    if rows and columns and rows * columns < count:
        raise ValueError(
            f"Expected `rows` and `columns` with room for {count} units. "
            f"Received: rows={rows}, columns={columns}"
        )
    if columns is None and rows is not None:
        columns = math.ceil(count / rows)
    elif columns is None:
        square = math.ceil(math.sqrt(count))
        widest = math.isqrt(2 * count)  # twice as wide as high
        full = (c for c in range(square, widest + 1) if count % c == 0)
        columns = next(full, square)
    return rows or math.ceil(count / columns), columns
