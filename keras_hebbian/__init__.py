"""Keras 3 layers that learn locally, by Hebbian rules."""

from keras_hebbian import (
    activations,
    callbacks,
    datasets,
    layers,
    losses,
    models,
    plotting,
)
from keras_hebbian.callbacks import LinearRateDecay
from keras_hebbian.layers import (
    HebbianCompetitive,
    LateralInhibitionSparse,
    LocalLearningLayer,
    Rate,
    RectifiedPower,
    WinnerClassifier,
)
from keras_hebbian.losses import PowerLoss
from keras_hebbian.models import HebbianModel, HebbianSequential

__version__ = "0.1.0"

__all__ = [
    "HebbianCompetitive",
    "HebbianModel",
    "HebbianSequential",
    "LateralInhibitionSparse",
    "LinearRateDecay",
    "LocalLearningLayer",
    "PowerLoss",
    "Rate",
    "RectifiedPower",
    "WinnerClassifier",
    "activations",
    "callbacks",
    "datasets",
    "layers",
    "losses",
    "models",
    "plotting",
]
