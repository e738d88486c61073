"""Keras 3 layers that learn locally, by Hebbian rules."""

from keras_hebbian import (
    activations,
    callbacks,
    datasets,
    export,
    layers,
    losses,
    models,
    plotting,
)
from keras_hebbian._replicas import sum_over_replicas
from keras_hebbian.callbacks import (
    LearningMonitor,
    LinearRateDecay,
    SkippedBatches,
    WeightVisualization,
)
from keras_hebbian.export import export_learner
from keras_hebbian.layers import (
    Convolution,
    HebbianCompetitive,
    HebbianPCA,
    KernelLayer,
    LateralInhibitionSparse,
    LocalLearningLayer,
    Rate,
    RectifiedPower,
    SelfOrganizingMap,
    SoftHebb,
    Triangle,
    WinnerClassifier,
)
from keras_hebbian.layerwise import fit_layerwise
from keras_hebbian.losses import PowerLoss
from keras_hebbian.models import HebbianModel, HebbianSequential
from keras_hebbian.sklearn import SKLearnTransformer

__version__ = "0.2.0"

__all__ = [
    "Convolution",
    "HebbianCompetitive",
    "HebbianModel",
    "HebbianPCA",
    "HebbianSequential",
    "KernelLayer",
    "LateralInhibitionSparse",
    "LearningMonitor",
    "LinearRateDecay",
    "LocalLearningLayer",
    "PowerLoss",
    "Rate",
    "RectifiedPower",
    "SKLearnTransformer",
    "SelfOrganizingMap",
    "SkippedBatches",
    "SoftHebb",
    "Triangle",
    "WeightVisualization",
    "WinnerClassifier",
    "activations",
    "callbacks",
    "datasets",
    "export",
    "export_learner",
    "fit_layerwise",
    "layers",
    "losses",
    "models",
    "plotting",
    "sum_over_replicas",
]
