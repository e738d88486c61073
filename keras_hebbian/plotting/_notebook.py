"""Figures in notebooks."""

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that notebooks show although it is not in pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
