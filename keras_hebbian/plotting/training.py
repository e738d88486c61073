"""Curves of a training run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_hebbian._arguments import check_positive

from ._figures import COLORS, new_figure


def plot_convergence(norms: Any, within: float = 0.1) -> Figure:
    """Draws how the p-norms of the units approach 1, epoch after epoch.

    The upper panel shows the median of the norms and the range of 50 % and
    90 % of the units, the lower panel the fraction of units inside the band.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> norms = 1 + np.exp(-np.arange(20))[:, None] * np.random.rand(20, 100)
    >>> figure = kh.plotting.plot_convergence(norms)
    >>> figure.savefig("/tmp/convergence.png")

    Args:
        norms: Array `(epochs, units)`, p-norm of each unit after each epoch,
            dimensionless.
        within: Float > 0, distance from 1 within which a unit counts as
            converged. Defaults to `0.1`.

    Returns:
        A `matplotlib.figure.Figure`, not registered with pyplot.

    Raises:
        ValueError: If `norms` is not a matrix, or if `within` is not positive.
    """
    within = check_positive("within", within)
    norms = np.asarray(norms, dtype="float64")
    if norms.ndim != 2 or not norms.size:
        raise ValueError(
            "Expected norms `(epochs, units)`. "
            f"Received: norms.shape={norms.shape}"
        )
    epochs = np.arange(1, len(norms) + 1)
    figure = new_figure(7, 5.5, layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    upper.axhspan(1 - within, 1 + within, color="0.85", label="converged")
    for low, high, alpha in ((5, 95, 0.2), (25, 75, 0.35)):
        upper.fill_between(
            epochs,
            *np.percentile(norms, (low, high), axis=1),
            color=COLORS[0],
            alpha=alpha,
            linewidth=0,
            label=f"{high - low} % of the units",
        )
    middle = np.median(norms, axis=1)
    upper.plot(epochs, middle, color=COLORS[0], label="median")
    upper.set_ylabel("p-norm")
    upper.set_yscale("log", subs=(2, 5))
    upper.yaxis.set_major_formatter("{x:g}")
    upper.yaxis.set_minor_formatter("{x:g}")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    converged = np.mean(np.abs(norms - 1) < within, axis=1)
    lower.plot(epochs, converged, color=COLORS[1])
    lower.set(xlabel="epoch", ylabel="share converged", ylim=(-0.03, 1.03))
    _count_whole(lower)
    return figure


def plot_history(
    histories: Any, metrics: str | Sequence[str] = ("accuracy", "loss")
) -> Figure:
    """Compares several training runs, one panel for each metric.

    The first six models have different colours. Training curves are dashed,
    validation curves solid.

    Example:

    >>> import keras_hebbian as kh
    >>> histories = {
    ...     "Hebbian": {"loss": [0.9, 0.5], "val_loss": [1.0, 0.6]},
    ...     "backpropagation": {"loss": [0.8, 0.3], "val_loss": [0.9, 0.7]},
    ... }
    >>> figure = kh.plotting.plot_history(histories, metrics=["loss"])
    >>> figure.savefig("/tmp/history.png")

    Args:
        histories: Dict of the `History` of `fit`, or its `history`, by the name
            of each model; a single one may be given without a name.
        metrics: Name of a metric, or a list of names, one panel each. Curves
            of a `History` start at its first epoch, those of its `history` at
            epoch 1. If there are fewer values of validation than of training,
            they are drawn at the epochs of the smallest `validation_freq` that
            gives as many. Defaults to `("accuracy", "loss")`.

    Returns:
        A `matplotlib.figure.Figure`, not registered with pyplot.

    Raises:
        ValueError: If `histories` is neither a dict nor a `History`, if there
            are no metrics, or if no history has one of them.
    """
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    if not metrics:
        raise ValueError("Expected at least one metric. Received: metrics=[]")
    runs = _runs(histories)
    figure = new_figure(5 * len(metrics), 3.8, layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for number, run in enumerate(runs):
            _draw_run(axes, metric, run, COLORS[number % len(COLORS)])
        if not axes.lines:
            known = sorted({key for run in runs for key in run.curves})
            raise ValueError(
                f"Expected histories with {metric!r}. Received: {known}"
            )
        axes.set(xlabel="epoch", ylabel=metric.replace("_", " "))
        _count_whole(axes)
    _add_legend(figure)
    return figure


class _Run(NamedTuple):
    """A training run."""

    name: str
    curves: Any
    before: int  # number of epochs before the first value


def _runs(histories: Any) -> list[_Run]:
    """The runs, of which a single one has no name."""
    if hasattr(histories, "history"):
        histories = {"": histories}
    if not isinstance(histories, Mapping):
        raise ValueError(
            "Expected a dict of histories by the name of each model, or a "
            f"single one. Received: a {type(histories).__name__}"
        )
    runs = [
        _Run(
            str(name),
            getattr(each, "history", each),
            min(getattr(each, "epoch", None) or [0]),
        )
        for name, each in histories.items()
    ]
    if all(isinstance(run.curves, Mapping) for run in runs):
        return runs
    return [_Run("", histories, 0)]


def _draw_run(axes: Axes, metric: str, run: _Run, color: str) -> None:
    """Draws the curves of a metric on training and validation data."""
    validated = f"val_{metric}" in run.curves
    for key, style, kind in (
        (metric, "--" if validated else "-", "training"),
        (f"val_{metric}", "-", "validation"),
    ):
        if key in run.curves:
            values = run.curves[key]
            epochs = np.arange(len(run.curves.get(metric, values)))
            epochs = _validated(run.before + 1 + epochs, len(values))
            label = ", ".join(filter(None, (run.name, kind)))
            # A line needs two points.
            marker = "o" if len(values) == 1 else None
            axes.plot(
                epochs, values, style, color=color, label=label, marker=marker
            )


def _validated(epochs: np.ndarray, count: int) -> np.ndarray:
    """The epochs of the smallest `validation_freq` that gives `count`."""
    for every in range(1, epochs[-1] + 1 if count else 1):
        found = epochs[epochs % every == 0]
        if len(found) == count:
            return found
    return epochs[len(epochs) - count :]


def _count_whole(axes: Axes) -> None:
    """Ticks at whole epochs, even if there is only one."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _add_legend(figure: Figure) -> None:
    """One legend for all panels, below them: training, then validation."""
    lines = {
        str(line.get_label()): line
        for style in ("--", "-")
        for axes in figure.axes
        for line in axes.lines
        if line.get_linestyle() == style
    }
    if len(lines) == 1:
        return
    columns = min(2, len(figure.axes))
    figure.legend(
        list(lines.values()),
        list(lines),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize="small",
    )
    rows = math.ceil(len(lines) / columns)
    figure.set_figheight(figure.get_figheight() + 0.18 * rows)
