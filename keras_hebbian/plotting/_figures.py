"""Helpers shared by all figures."""

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

DPI = 100

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""


class NotebookFigure(Figure):
    """A figure that notebooks show although it is not in pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure(width: float, height: float, **arguments: Any) -> Figure:
    """A figure of a size in inches, not registered with pyplot."""
    return NotebookFigure(figsize=(width, height), dpi=DPI, **arguments)


def color_scale(values: np.ndarray) -> dict[str, Any]:
    """Blue, white at 0, red; or greys from 0 if no value is negative.

    Negative values of less than half a shade, as rounding leaves, count as 0.
    """
    largest = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    if np.nanmin(values, initial=0) < -largest / 512:
        return {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    return {"cmap": "Greys", "vmin": 0.0, "vmax": largest}


def extremes_and_zero(drawn: Any) -> list[float]:
    """The ticks of a colour bar."""
    low, high = drawn.get_clim()
    return [low, 0.0, high] if low < 0 < high else [low, high]
