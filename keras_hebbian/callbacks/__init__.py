"""Callbacks for models that learn locally."""

from keras_hebbian.callbacks.learning_monitor import LearningMonitor
from keras_hebbian.callbacks.linear_rate_decay import LinearRateDecay
from keras_hebbian.callbacks.skipped_batches import SkippedBatches
from keras_hebbian.callbacks.weight_visualization import WeightVisualization

__all__ = [
    "LearningMonitor",
    "LinearRateDecay",
    "SkippedBatches",
    "WeightVisualization",
]
