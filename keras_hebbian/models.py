"""Models whose training step needs no labels, no loss and no gradient."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_hebbian._backend import jax_execution
from keras_hebbian.layers.local_learning import (
    LocalLearningLayer,
    collect,
    local_layers,
)

# The class of `keras.Model(inputs, outputs)`, which Keras does not export.
_Functional = type(keras.Model.__new__(keras.Model, "inputs", "outputs"))


class SkippedBatches(keras.callbacks.Callback):
    """Tells of batches from which a local layer learned nothing.

    A batch with values that a layer cannot learn from, or whose update would
    overflow, leaves the layer's state as it was and is counted in
    `layer.skipped`. From the first epoch with such a batch on, the logs carry
    `skipped`, the number of them in the epoch, and a warning names the layer,
    once in a `fit`.

    `HebbianSequential` and `HebbianModel` do this by themselves. Any other
    Keras model does it with this callback, the first in the list.

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
        self._told: set[str] = set()
        self._before = self._counts()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        counts = self._counts()
        layers = local_layers(self.model)
        skipped = {
            layer: counts[layer] - self._before.get(layer, 0)
            for layer in layers
        }
        self._before = counts
        for layer, count in skipped.items():
            if count and layer.name not in self._told:
                self._told.add(layer.name)
                warnings.warn(
                    f"{layer.name} learned nothing from {count} batches whose "
                    f"values were not all {layer.learns_from}, or too large",
                    stacklevel=2,
                )
        if self._told and logs is not None:
            logs.update(collect(layers, lambda x: {"skipped": skipped[x]}))

    def _counts(self) -> dict[LocalLearningLayer, int]:
        layers = (x for x in local_layers(self.model) if x.built)
        return {layer: int(layer.skipped.numpy()) for layer in layers}


class _Reports(SkippedBatches):
    """Puts what the local layers report into the logs of an epoch.

    In every step it would take up to a fifth of the time of the step, which
    says only how many batches the first layer has learned from.
    """

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if logs is not None:
            logs.pop("iterations", None)
            for name, value in _reports(self.model).items():
                logs[name] = float(keras.ops.convert_to_numpy(value))
        super().on_epoch_end(epoch, logs)


def _reports(model: keras.Model) -> dict[str, Any]:
    return collect(local_layers(model), lambda layer: layer.report())


class _LocalTraining:
    """The training step of the models below.

    Compiled without a loss, a step is one forward pass in which the local
    layers learn: no tape, no optimizer. With a loss it is Keras's own step.
    """

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """`keras.Model.fit`, which tells of values that teach nothing.

        An array that a local layer gets is refused before the first step.
        What can be seen only in the steps is skipped, and told of after the
        epoch (`SkippedBatches`).
        """
        if isinstance(x, np.ndarray):
            self._refuse_unusable(x)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [_Reports(), *keras.tree.flatten(callbacks)]
            callbacks = [each for each in callbacks if each is not None]
        return super().fit(
            x, y, batch_size, epochs, verbose, callbacks, *args, **kwargs
        )

    def _refuse_unusable(self, inputs: np.ndarray) -> None:
        if not isinstance(self, (keras.Sequential, _Functional)):
            return  # whose first layer need not be the first to be called
        inner = (
            layer
            for layer in self.layers
            if not isinstance(layer, keras.layers.InputLayer)
        )
        first = next(inner, None)
        if isinstance(first, LocalLearningLayer):
            for start in range(0, len(inputs), 1024):
                first.refuse_unusable(inputs[start : start + 1024])

    def _step(self, data: Any, training: bool) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        unmeasured = all(metric.name == "loss" for metric in self.metrics)
        if training and unmeasured and self._is_one_local_layer():
            self.layers[0].learn_from(*keras.tree.flatten(x))
        else:
            outputs = self(x, training=training)
        first, *_ = self._layers_without_loss()
        if unmeasured:
            if not training:
                return _reports(self)
            # Something, because on TensorFlow no step may be without logs.
            iterations = keras.ops.convert_to_tensor(first.iterations)
            return {"iterations": iterations}
        logs = self.compute_metrics(x, y, outputs, sample_weight)
        return {name: logs[name] for name in logs if name != "loss"}

    def _is_one_local_layer(self) -> bool:
        """Whether the model is one layer that learns, and is built."""
        return (
            isinstance(self, keras.Sequential)
            and len(self.layers) == 1
            and isinstance(self.layers[0], LocalLearningLayer)
            and self.layers[0].built
        )

    def _layers_without_loss(self) -> list[LocalLearningLayer]:
        """The local layers, at least one, of a model with nothing to minimize.

        Refuses to drop a loss, or to train where nothing learns.
        """
        layers = local_layers(self)
        constants = sum(len(layer.losses) for layer in layers)
        if not layers or len(self.losses) > constants:
            raise ValueError(
                "Expected `compile(loss=...)` for a model that has no local "
                "layer, or whose other layers add losses or regularize their "
                "weights. Received: loss=None"
            )
        return layers

    if keras.backend.backend() == "jax":

        def make_train_function(self, force: bool = False) -> None:
            """Keras's, but several steps of an execution are one program."""
            one_program = (
                self.loss is None
                and self.steps_per_execution > 1
                and self.jit_compile
                and not self.run_eagerly
                and keras.distribution.distribution() is None
            )
            if one_program and (force or self.train_function is None):
                self.train_function = jax_execution(
                    self.train_step, self.steps_per_execution
                )
            super().make_train_function(force and not one_program)

        def train_step(self, state: Any, data: Any) -> Any:
            if self.loss is None:
                return self._stateless_step(state, data, training=True)
            return super().train_step(state, data)

        def test_step(self, state: Any, data: Any) -> Any:
            if self.loss is None:
                return self._stateless_step(state, data, training=False)
            return super().test_step(state, data)

        def _stateless_step(
            self, state: Any, data: Any, training: bool
        ) -> tuple[dict[str, Any], Any]:
            trainable, non_trainable, *optimizer, metrics = state
            mapping = [
                *zip(self.trainable_variables, trainable, strict=True),
                *zip(self.non_trainable_variables, non_trainable, strict=True),
                *zip(self.metrics_variables, metrics, strict=True),
            ]
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                logs = self._step(data, training)
            non_trainable, metrics = (
                [scope.get_current_value(variable) for variable in variables]
                for variables in (
                    self.non_trainable_variables,
                    self.metrics_variables,
                )
            )
            return logs, (trainable, non_trainable, *optimizer, metrics)

    else:

        def train_step(self, data: Any) -> dict[str, Any]:
            if self.loss is None:
                return self._step(data, training=True)
            return super().train_step(data)

        def test_step(self, data: Any) -> dict[str, Any]:
            if self.loss is None:
                return self._step(data, training=False)
            return super().test_step(data)


@keras.saving.register_keras_serializable(package="keras_hebbian")
class HebbianModel(_LocalTraining, keras.Model):
    """A `keras.Model` that fits without labels, loss or gradient.

    Used as `keras.Model` is: with inputs and outputs, or subclassed.
    `compile()` without a loss, then `fit(x)`: each step is one forward pass in
    which the local layers learn, and nothing else. `compile(loss=...)` trains
    all other layers by backpropagation in the same `fit`. In both cases the
    history and, at the end of an epoch, the progress bar show what the local
    layers report; with several of them each name starts with the layer's own.
    `evaluate` returns the compiled metrics, and without any what the local
    layers report.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> inputs = keras.Input((6,))
    >>> model = kh.HebbianModel(inputs, kh.HebbianCompetitive(4)(inputs))
    >>> model.compile()
    >>> history = model.fit(np.random.rand(20, 6), epochs=2, verbose=0)
    >>> list(history.history)
    ['converged']

    Args:
        *args: Arguments of `keras.Model`.
        **kwargs: Arguments of `keras.Model`.

    Raises:
        ValueError: In the first step, if the model was compiled without a loss
            and has no local layer, or another layer or a regularizer adds one.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        functional = len(args) > 1 or "outputs" in kwargs
        if cls is HebbianModel and functional:
            cls = FunctionalHebbianModel
        return super().__new__(cls, *args, **kwargs)


@keras.saving.register_keras_serializable(package="keras_hebbian")
class FunctionalHebbianModel(HebbianModel, _Functional):
    """What `HebbianModel(inputs, outputs)` makes.

    Keras would make `HebbianModel` itself functional for good at the first
    such call, and subclassing it would fail from then on.
    """


@keras.saving.register_keras_serializable(package="keras_hebbian")
class HebbianSequential(_LocalTraining, keras.Sequential):
    """A `keras.Sequential` that fits without labels, loss or gradient.

    `compile()` without a loss, then `fit(x)`: each step is one forward pass in
    which the local layers learn, and nothing else. `compile(loss=...)` trains
    all other layers by backpropagation in the same `fit`. In both cases the
    history and, at the end of an epoch, the progress bar show what the local
    layers report; with several of them each name starts with the layer's own.
    `evaluate` returns the compiled metrics, and without any what the local
    layers report.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> model = kh.HebbianSequential([kh.HebbianCompetitive(4)])
    >>> model.compile()
    >>> history = model.fit(np.random.rand(20, 6), epochs=2, verbose=0)
    >>> list(history.history)
    ['converged']

    Args:
        layers: List of layers, the first of which may be a `keras.Input`.
        trainable: Whether anything learns or trains. Defaults to `True`.
        name: Name of the model. Defaults to `None`.

    Raises:
        ValueError: In the first step, if the model was compiled without a loss
            and has no local layer, or another layer or a regularizer adds one.
    """
