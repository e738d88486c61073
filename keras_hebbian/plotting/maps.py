"""Self-organizing maps."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from keras_hebbian._arguments import class_of_each
from keras_hebbian._grids import Grid

from ._figures import (
    COLORS,
    color_scale,
    extremes_and_zero,
    new_figure,
)
from .weights import choose_units, tile

PLANES = 20
"""Maximum number of component planes that are drawn by default."""


def plot_u_matrix(
    kernel: Any,
    shape: int | tuple[int, ...],
    topology: str = "rectangular",
    toroidal: bool = False,
    title: str | None = None,
) -> Figure:
    """Draws how far the units of a map are from their neighbours.

    The colour of a unit is the mean distance between its weights and those of
    its neighbours on the grid. Light areas are clusters, dark lines are the
    gaps between them. Row 0 of the grid is at the top.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> kernel = np.random.rand(5, 48)
    >>> figure = kh.plotting.plot_u_matrix(kernel, (6, 8), "hexagonal")
    >>> figure.savefig("/tmp/u_matrix.png")

    Args:
        kernel: Array `(inputs, units)`.
        shape: Integer or a tuple of one or two, the shape of the grid.
        topology: `"rectangular"` or `"hexagonal"`. Defaults to
            `"rectangular"`.
        toroidal: Whether the last row and column are adjacent to the first.
            Defaults to `False`.
        title: Text above the map. Defaults to `None`.

    Returns:
        A `matplotlib.figure.Figure`, not registered with pyplot.

    Raises:
        ValueError: If there is no such grid, or if the kernel does not have a
            column for each of its units.
    """
    grid = Grid(shape, topology, toroidal)
    distances = grid.distance_map(_kernel_of(kernel, grid))
    figure, axes = _map_figure(grid, title)
    drawn = _draw_cells(axes, grid, array=distances, cmap="Greys")
    _add_bar(drawn, axes)
    return figure


def plot_component_planes(
    kernel: Any,
    shape: int | tuple[int, ...],
    inputs: int | Iterable[int] | None = None,
    labels: Sequence[Any] | None = None,
    topology: str = "rectangular",
    title: str | None = None,
) -> Figure:
    """Draws the weights from each input over the map, one panel per input.

    Inputs with similar patterns vary together. Each panel has its own scale:
    from blue through white at 0 to red, or greys from 0 if no weight is
    negative.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> kernel = np.random.randn(3, 48)
    >>> figure = kh.plotting.plot_component_planes(
    ...     kernel, (6, 8), labels=["length", "width", "height"]
    ... )
    >>> figure.savefig("/tmp/component_planes.png")

    Args:
        kernel: Array `(inputs, units)`.
        shape: Integer or a tuple of one or two, the shape of the grid.
        inputs: Number or indices of the inputs to draw. Defaults to `None`:
            all, or if there are more than 20, the 20 that vary most.
        labels: The name of each input of the kernel. Defaults to `None`, the
            indices.
        topology: `"rectangular"` or `"hexagonal"`. Defaults to
            `"rectangular"`.
        title: Text above the panels. Defaults to `None`.

    Returns:
        A `matplotlib.figure.Figure`, not registered with pyplot.

    Raises:
        ValueError: If there is no such grid, if the kernel does not have a
            column for each of its units, or if `inputs` or `labels` do not
            match the kernel.
    """
    grid = Grid(shape, topology)
    kernel = _kernel_of(kernel, grid)
    if labels is not None and len(labels) != len(kernel):
        raise ValueError(
            f"Expected a label for each of {len(kernel)} inputs. "
            f"Received: {len(labels)} labels"
        )
    if inputs is None and len(kernel) > PLANES:
        inputs = np.sort(np.argsort(-np.ptp(kernel, axis=1))[:PLANES])
    chosen = choose_units(len(kernel), inputs, name="inputs")
    rows, columns = tile(len(chosen))
    width, height = _extent(grid)
    side = 2.2 / max(width, height)  # inches per unit
    figure = new_figure(
        columns * (side * width + 0.7),
        rows * (side * height + 0.5) + (0.3 if title else 0),
        layout="constrained",
    )
    if title is not None:
        figure.suptitle(title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, index in zip(panels, chosen, strict=False):
        values = kernel[index]
        drawn = _draw_cells(axes, grid, array=values)
        scale = color_scale(values)
        drawn.set(cmap=scale["cmap"], clim=(scale["vmin"], scale["vmax"]))
        _add_bar(drawn, axes)
        label = f"input {index}" if labels is None else str(labels[index])
        axes.set_title(label, fontsize=9)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    return figure


def plot_hits(
    winners: Any,
    shape: int | tuple[int, ...],
    classes: Sequence[Any] | None = None,
    topology: str = "rectangular",
    title: str | None = None,
) -> Figure:
    """Draws how many samples each unit of a map wins, and of which class.

    The area of a unit is proportional to the number of samples that it wins.
    With classes, its colour and text show the class that it wins most often.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> winners = np.random.randint(48, size=500)
    >>> figure = kh.plotting.plot_hits(winners, (6, 8), classes=winners % 3)
    >>> figure.savefig("/tmp/hits.png")

    Args:
        winners: Array `(samples,)`, the index of the winner of each sample,
            `outputs.argmax(axis=-1)`.
        shape: Integer or a tuple of one or two, the shape of the grid.
        classes: The class of each sample. Defaults to `None`.
        topology: `"rectangular"` or `"hexagonal"`. Defaults to
            `"rectangular"`.
        title: Text above the map. Defaults to `None`.

    Returns:
        A `matplotlib.figure.Figure`, not registered with pyplot.

    Raises:
        ValueError: If there is no such grid, if the winners are not indices of
            its units, or if there is not one class per winner.
    """
    grid = Grid(shape, topology)
    winners = np.asarray(winners)
    if (
        winners.ndim != 1
        or not winners.size
        or not np.issubdtype(winners.dtype, np.integer)
        or not (0 <= winners.min() <= winners.max() < grid.units)
    ):
        raise ValueError(
            f"Expected winners between 0 and {grid.units - 1}, an integer for "
            f"each sample. Received: winners={winners}"
        )
    known = None
    if classes is not None:
        known = class_of_each(classes, len(winners), "sample")
    hits = np.bincount(winners, minlength=grid.units)
    figure, axes = _map_figure(grid, title)
    _draw_cells(axes, grid, facecolor="none")
    sizes = np.sqrt(hits / hits.max())
    if known is None:
        _draw_cells(axes, grid, sizes, facecolor=COLORS[0])
        return figure
    names, numbers = np.unique(known, return_inverse=True)
    counts = np.zeros((grid.units, len(names)), int)
    np.add.at(counts, (winners, numbers), 1)
    most = counts.argmax(axis=1)
    colors = _class_colors(len(names))
    _draw_cells(axes, grid, sizes, facecolor=[colors[each] for each in most])
    side = figure.get_figwidth() * 72 / _extent(grid)[0]  # points
    across, down = _centers(grid)
    for unit in np.flatnonzero(hits):
        axes.text(
            across[unit],
            down[unit],
            str(names[most[unit]]),
            fontsize=0.4 * side,
            ha="center",
            va="center_baseline",
            clip_on=True,
        )
    return figure


def _kernel_of(kernel: Any, grid: Grid) -> np.ndarray:
    kernel = np.asarray(kernel, dtype="float64")
    if kernel.ndim != 2 or not kernel.size or kernel.shape[1] != grid.units:
        raise ValueError(
            f"Expected a kernel `(inputs, {grid.units})` for the grid "
            f"{grid.shape}. Received: kernel.shape={kernel.shape}"
        )
    return kernel


def _class_colors(count: int) -> list[Any]:
    if count <= len(COLORS):
        return list(COLORS[:count])
    palette = colormaps["tab10" if count <= 10 else "tab20"]
    return [palette(number % palette.N) for number in range(count)]


def _centers(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the units, across and down; row 0 is at the top."""
    if len(grid.shape) == 1:
        return grid.coordinates[0], np.zeros(grid.units)
    down, across = grid.coordinates
    return across, down


def _extent(grid: Grid) -> tuple[float, float]:
    """Width and height of a map, in units of the grid."""
    across, down = _centers(grid)
    return np.ptp(across) + 1.16, np.ptp(down) + 1


def _map_figure(grid: Grid, title: str | None) -> tuple[Figure, Axes]:
    """A figure with one map, and its axes."""
    width, height = _extent(grid)
    side = min(0.45, 10 / max(width, height))  # inches per unit
    figure = new_figure(
        max(side * width, 1.5) + 0.9,
        max(side * height, 0.5) + (0.6 if title else 0.3),
        layout="constrained",
    )
    axes = figure.subplots()
    axes.set_title(title or "")
    return figure, axes


def _draw_cells(
    axes: Axes, grid: Grid, sizes: Any = 1.0, **arguments: Any
) -> PolyCollection:
    """Draws a square or hexagon for each unit, scaled by its size."""
    if grid.topology == "hexagonal":
        angles = np.arange(6) * np.pi / 3
        radius = 1 / math.sqrt(3)
    else:
        angles = (np.arange(4) + 0.5) * np.pi / 2
        radius = math.sqrt(0.5)
    corners = radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    sizes = np.broadcast_to(sizes, grid.units)[:, None, None]
    cells = np.stack(_centers(grid), axis=-1)[:, None] + sizes * corners
    drawn = PolyCollection(cells, edgecolor="0.85", linewidth=0.5, **arguments)
    axes.add_collection(drawn)
    axes.set(aspect="equal", xticks=[], yticks=[])
    across, down = _centers(grid)
    axes.set_xlim(across.min() - 0.6, across.max() + 0.6)
    axes.set_ylim(down.max() + 0.55, down.min() - 0.55)
    axes.spines[:].set_visible(False)
    return drawn


def _add_bar(drawn: PolyCollection, axes: Axes) -> None:
    """Adds a colour bar to a map."""
    drawn.autoscale_None()
    bar = axes.figure.colorbar(
        drawn, ax=axes, ticks=extremes_and_zero(drawn), format="%.2g"
    )
    bar.ax.tick_params(labelsize=8)
