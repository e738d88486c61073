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
from keras_hebbian.callbacks import (
    LearningMonitor,
    LinearRateDecay,
    WeightVisualization,
)
from keras_hebbian.layers import (
    HebbianCompetitive,
    LateralInhibitionSparse,
    LocalLearningLayer,
    Rate,
    RectifiedPower,
    WinnerClassifier,
)
from keras_hebbian.losses import PowerLoss
from keras_hebbian.models import (
    HebbianModel,
    HebbianSequential,
    SkippedBatches,
)

__version__ = "0.1.0"

__all__ = [
    "HebbianCompetitive",
    "HebbianModel",
    "HebbianSequential",
    "LateralInhibitionSparse",
    "LearningMonitor",
    "LinearRateDecay",
    "LocalLearningLayer",
    "PowerLoss",
    "Rate",
    "RectifiedPower",
    "SkippedBatches",
    "WeightVisualization",
    "WinnerClassifier",
    "activations",
    "callbacks",
    "datasets",
    "layers",
    "losses",
    "models",
    "plotting",
]
