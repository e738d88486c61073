"""Figures from arrays, without a model and without opening a window."""

from .inhibition import plot_inhibition
from .maps import plot_component_planes, plot_hits, plot_u_matrix
from .training import plot_convergence, plot_history
from .weights import fit_image_shape, plot_weights

__all__ = [
    "fit_image_shape",
    "plot_component_planes",
    "plot_convergence",
    "plot_history",
    "plot_hits",
    "plot_inhibition",
    "plot_u_matrix",
    "plot_weights",
]
