"""Reports of local layers in the logs of an epoch."""

from typing import Any

import keras

from keras_hebbian.callbacks.skipped_batches import SkippedBatches
from keras_hebbian.layers.local_layers import collect, local_layers


class LayerReports(SkippedBatches):
    """Adds the reports of the local layers to the logs of an epoch.

    In every step they would take up to a fifth of the time of the step. The
    logs of a step contain only a counter, which is kept off the progress bar.

    Args:
        each_batch: Whether other callbacks may read or assign weights before
            or after each batch.
    """

    def __init__(self, each_batch: bool = False) -> None:
        super().__init__()
        self.each_batch = each_batch
        self.async_safe = not each_batch  # then it sees only the logs

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.each_batch:
            _ = self.model  # on JAX, its layers now have their new weights
        if logs is not None:
            logs.pop("iterations", None)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if logs is not None:
            found = reports(self.model)
            for name, value in found.items():
                value = keras.ops.convert_to_numpy(value)
                if value.ndim:
                    raise ValueError(
                        "Expected `report` to return scalars. "
                        f"Received: {name} of shape {value.shape}"
                    )
                logs[name] = float(value)
            for name in ("iterations", *(f"val_{name}" for name in found)):
                if name not in found:
                    logs.pop(name, None)
        super().on_epoch_end(epoch, logs)


def reports(model: keras.Model) -> dict[str, Any]:
    """The reports of the local layers of a model, named for the logs."""
    return collect(local_layers(model), lambda layer: layer.report())
