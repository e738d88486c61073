"""Callbacks for models that learn locally."""

from keras_hebbian.callbacks.linear_rate_decay import LinearRateDecay

__all__ = ["LinearRateDecay"]
