"""Models that predict and keep learning without Keras."""

from keras_hebbian.export.export_learner import export_learner

__all__ = ["export_learner"]
