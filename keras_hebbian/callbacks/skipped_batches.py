"""Warnings about batches that local layers skip."""

import warnings
from typing import Any

import keras

from keras_hebbian.layers.local_layers import collect, local_layers
from keras_hebbian.layers.local_learning import LocalLearningLayer


class SkippedBatches(keras.callbacks.Callback):
    """Warns when a local layer skips batches.

    A layer skips a batch with values that its rule cannot learn from, or whose
    update would overflow: its state does not change, and `layer.skipped` counts
    the batch. After the first epoch with such a batch a warning names the
    layer, once per `fit`. From then on the logs contain `skipped`, the number
    of skipped batches in the epoch; the history has 0 for earlier epochs.

    `HebbianSequential` and `HebbianModel` do this by themselves. For any other
    Keras model, add this callback as the first in the list.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> images = np.random.rand(20, 6)
    >>> inputs = keras.Input((6,))
    >>> outputs = keras.layers.Dense(1)(kh.HebbianCompetitive(4)(inputs))
    >>> model = keras.Model(inputs, outputs)
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(
    ...     images,
    ...     np.ones((20, 1)),
    ...     callbacks=[kh.SkippedBatches()],
    ...     verbose=0,
    ... )
    >>> "skipped" in history.history
    False
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._warned: set[LocalLearningLayer] = set()
        self._before = self._counts()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        counts = self._counts()
        layers = local_layers(self.model)
        skipped = {
            layer: counts.get(layer, 0) - self._before.get(layer, 0)
            for layer in layers
        }
        self._before = counts
        first = not self._warned
        for layer, count in skipped.items():
            if count and layer not in self._warned:
                self._warned.add(layer)
                batches = "1 batch" if count == 1 else f"{count} batches"
                warnings.warn(
                    f"{layer.name} skipped {batches}: it needs "
                    f"{layer.expects}, and an update that does not overflow",
                    stacklevel=2,
                )
        if self._warned and logs is not None:
            named = collect(layers, lambda x: {"skipped": skipped[x]})
            logs.update(named)
            history = self.model.history
            if first and history is not None:
                for name in named:
                    history.history[name] = [0] * len(history.epoch)

    def _counts(self) -> dict[LocalLearningLayer, int]:
        layers = (x for x in local_layers(self.model) if x.built)
        return {
            layer: int(keras.ops.convert_to_numpy(layer.skipped))
            for layer in layers
        }
