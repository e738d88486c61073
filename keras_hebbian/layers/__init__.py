"""Layers that learn by local rules, and layers that read them out."""

from keras_hebbian.layers.convolution import Convolution
from keras_hebbian.layers.hebbian_competitive import HebbianCompetitive
from keras_hebbian.layers.hebbian_pca import HebbianPCA
from keras_hebbian.layers.kernel_layer import KernelLayer
from keras_hebbian.layers.lateral_inhibition_sparse import (
    LateralInhibitionSparse,
)
from keras_hebbian.layers.local_learning import LocalLearningLayer
from keras_hebbian.layers.rate import Rate
from keras_hebbian.layers.rectified_power import RectifiedPower
from keras_hebbian.layers.self_organizing_map import SelfOrganizingMap
from keras_hebbian.layers.soft_hebb import SoftHebb
from keras_hebbian.layers.triangle import Triangle
from keras_hebbian.layers.winner_classifier import WinnerClassifier

__all__ = [
    "Convolution",
    "HebbianCompetitive",
    "HebbianPCA",
    "KernelLayer",
    "LateralInhibitionSparse",
    "LocalLearningLayer",
    "Rate",
    "RectifiedPower",
    "SelfOrganizingMap",
    "SoftHebb",
    "Triangle",
    "WinnerClassifier",
]
