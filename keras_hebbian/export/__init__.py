"""Models that predict and go on learning without Keras."""

from keras_hebbian.export.export_learner import export_learner

__all__ = ["export_learner"]
