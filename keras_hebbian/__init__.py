"""Keras 3 layers that learn locally, by Hebbian rules."""

from keras_hebbian import callbacks, datasets, layers, models, plotting
from keras_hebbian.callbacks import LinearRateDecay
from keras_hebbian.layers import (
    HebbianCompetitive,
    LateralInhibitionSparse,
    LocalLearningLayer,
    Rate,
    WinnerClassifier,
)
from keras_hebbian.models import HebbianModel, HebbianSequential

__version__ = "0.1.0"

__all__ = [
    "HebbianCompetitive",
    "HebbianModel",
    "HebbianSequential",
    "LateralInhibitionSparse",
    "LinearRateDecay",
    "LocalLearningLayer",
    "Rate",
    "WinnerClassifier",
    "callbacks",
    "datasets",
    "layers",
    "models",
    "plotting",
]
