"""Inhibition between units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_hebbian._arguments import class_of_each

from ._figures import (
    color_scale,
    extremes_and_zero,
    new_figure,
)


def plot_inhibition(
    inhibition: Any,
    classes: Sequence[Any] | None = None,
    title: str | None = None,
) -> Figure:
    """Draws the inhibition between units, with similar units side by side.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> figure = kh.plotting.plot_inhibition(np.random.randn(20, 20))
    >>> figure.savefig("/tmp/inhibition.png")

    Args:
        inhibition: Array `(units, units)`; entry `[u, v]` acts from unit v
            onto unit u.
        classes: The class of each unit, by which the units are ordered and
            marked. Defaults to `None`: the units are ordered by clustering the
            inhibition that they receive.
        title: Text above the matrix. Defaults to `None`.

    Returns:
        A `matplotlib.figure.Figure`, not registered with pyplot.

    Raises:
        ValueError: If the matrix is not square, not finite or has fewer than 2
            units, or if there is not one class per unit.
    """
    inhibition = np.asarray(inhibition, dtype="float64")
    units = len(inhibition)
    if inhibition.shape != (units, units) or units < 2:
        raise ValueError(
            "Expected an inhibition matrix `(units, units)`. "
            f"Received: inhibition.shape={inhibition.shape}"
        )
    known = None
    if classes is not None:
        known = class_of_each(classes, units, "unit")
    if not np.isfinite(inhibition).all():
        raise ValueError(
            "Expected a finite inhibition matrix. Received: NaN or infinity"
        )
    if known is None:
        from scipy.cluster import hierarchy
        from scipy.spatial.distance import pdist

        tree = hierarchy.linkage(pdist(inhibition), "average")
        order = hierarchy.leaves_list(tree)
    else:
        order = np.argsort(known, kind="stable")
    figure = new_figure(6.4, 5.6, layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(
        inhibition[np.ix_(order, order)],
        interpolation="nearest",
        **color_scale(inhibition),
    )
    figure.colorbar(
        drawn, ax=axes, ticks=extremes_and_zero(drawn), format="%.2g"
    )
    axes.set_title(title or "")
    if known is None:
        axes.set(xlabel="from unit (clustered)", ylabel="onto unit")
        return figure
    names, starts = np.unique(known[order], return_index=True)
    ends = [*starts[1:], units]
    axes.set(xlabel="from units of class", ylabel="onto units of class")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks((starts + ends - 1) / 2, names)
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="0.6", linewidth=0.5)
        axes.axvline(start - 0.5, color="0.6", linewidth=0.5)
    return figure
