"""Figures from arrays. Knows no Keras, and opens no window."""

from .inhibition import plot_inhibition
from .training import plot_convergence, plot_history
from .weights import fit_image_shape, plot_weights

__all__ = [
    "fit_image_shape",
    "plot_convergence",
    "plot_history",
    "plot_inhibition",
    "plot_weights",
]
