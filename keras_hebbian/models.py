"""Models whose training step needs no labels, no loss and no gradient."""

import contextlib
import functools
import inspect
import itertools
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import keras
import numpy as np

from keras_hebbian._arguments import check_integer
from keras_hebbian._backend import forget_traces
from keras_hebbian._execution import (
    execution_of,
    rows_of,
    rows_per_step,
    steps_of_execution,
)
from keras_hebbian._programs import Rows
from keras_hebbian.callbacks._reports import LayerReports, reports
from keras_hebbian.callbacks.linear_rate_decay import LinearRateDecay
from keras_hebbian.layers.convolution import Convolution
from keras_hebbian.layers.local_layers import local_layers
from keras_hebbian.layers.local_learning import LocalLearningLayer, unread


def _functional_class() -> type:
    """The class of `keras.Model(inputs, outputs)`, private in Keras."""
    inputs = keras.Input((1,), name="inputs")
    outputs = keras.layers.Identity(name="outputs")(inputs)
    return type(keras.Model(inputs, outputs, name="functional"))


# Arguments of `compile` that are left to `fit` if they are not given.
OPEN = {"steps_per_execution", "jit_compile"}
# Compiled steps, which Keras keeps from one call to the next.
_FUNCTIONS = ("train_function", "test_function", "predict_function")

_Functional: Any = _functional_class()
_Mixin: Any = object  # of Keras's models, whose attributes it uses
_Method = TypeVar("_Method", bound=Callable[..., Any])


def _only_reshapes(layer: keras.Layer) -> bool:
    return type(layer) in (keras.layers.Flatten, keras.layers.Reshape)


def _as_in(method: Any) -> Callable[[_Method], _Method]:
    """`functools.wraps`, whose result type checkers take for no method."""
    wraps: Any = functools.wraps(method)
    return wraps


class _LocalTraining(_Mixin):
    """The training step of the models below.

    Compiled without a loss, a step is one forward pass in which the local
    layers learn: no tape, no optimizer. With a loss it is Keras's own step.
    """

    train_function: Any  # Keras sets it, and the next
    steps_per_execution: int
    _learning: list[bool] | None = None  # which layers, in the compiled step
    _left_open = OPEN
    _rows: int | None = None  # of a batch, if the step takes those of an array
    _kept: Any = None  # functions compiled for the execution before this one
    _fitting = False
    _is_stage = False  # one of several in `fit_layerwise`

    @_as_in(keras.Model.compile)
    def compile(self, *args: Any, **kwargs: Any) -> None:
        compile = super().compile
        given = inspect.signature(compile).bind(*args, **kwargs).arguments
        # Keras would keep those of an earlier call.
        self.loss = self._compile_loss = self._compile_metrics = None
        self._kept = None
        compile(**given)
        self._left_open = {
            name for name in OPEN if given.get(name, "auto") == "auto"
        }

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        return {k: v for k, v in config.items() if k not in self._left_open}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """As in Keras, which would not call an overridden `compile`."""
        if type(self).compile is not _LocalTraining.compile:
            super().compile_from_config(config)
            return
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    @_as_in(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        with self._execution_restored():
            return self._fit(*args, **kwargs)

    def _fit(self, *args: Any, **kwargs: Any) -> Any:
        fit = super().fit
        given = inspect.signature(fit).bind(*args, **kwargs).arguments
        if "epochs" in given:
            given["epochs"] = check_integer("epochs", given["epochs"], 0)
        if given.get("batch_size") is not None:
            size = given["batch_size"]
            given["batch_size"] = check_integer("batch_size", size, 1)
        if self.compiled and self.loss is None:
            self._check_fit(**given)
        if isinstance(given.get("x"), np.ndarray | np.generic):
            self._check_values(given["x"])
        callbacks = given.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = callbacks.callbacks
            if not any(isinstance(each, LayerReports) for each in callbacks):
                callbacks.insert(0, LayerReports())
                callbacks[0].set_model(self)
        else:
            callbacks = keras.tree.flatten(callbacks)
            callbacks = [each for each in callbacks if each is not None]
            given["callbacks"] = [LayerReports(), *callbacks]
        steps = self.steps_per_execution
        if self.compiled and "steps_per_execution" in self._left_open:
            steps = steps_of_execution(self, given, callbacks)
        rows = None
        if type(self).train_step is _LocalTraining.train_step:
            rows = rows_per_step(self, given)
        self._set_execution(steps, rows)
        self._notice_frozen_layers()
        if rows:
            shuffle = given.get("shuffle", True)
            given |= rows_of(given["x"], rows, steps, shuffle)
        try:
            return fit(**given)
        finally:
            for each in callbacks:  # of an interrupted fit
                if isinstance(each, LinearRateDecay) and each.model is self:
                    each.on_train_end()

    @_as_in(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        open_steps = "steps_per_execution" in self._left_open
        with self._execution_restored():
            steps = 1 if open_steps else self.steps_per_execution
            self._set_execution(steps, rows=None)
            self._notice_frozen_layers()
            return super().train_on_batch(*args, **kwargs)

    @contextlib.contextmanager
    def _execution_restored(self) -> Iterator[None]:
        """Ends what `fit` chose for its own steps.

        A callback may train the model within a fit, which then goes on.
        """
        within, names = self._fitting, []
        if within:
            names = ["steps_per_execution", "_rows", "_learning", *_FUNCTIONS]
        before = {name: getattr(self, name) for name in names}
        self._fitting = True
        try:
            yield
        finally:
            self._fitting = within
            for name, value in before.items():
                setattr(self, name, value)
            if not within and "steps_per_execution" in self._left_open:
                self._set_execution(1, rows=None)

    def _set_execution(self, steps: int, rows: int | None) -> None:
        """Sets how many steps run at once, and which rows they take.

        Functions that were compiled for the execution before this one are kept,
        because fits and single steps take turns.
        """
        before = self.steps_per_execution, self._rows
        if (steps, rows) == before:
            return
        kept = self._kept
        self._kept = types.SimpleNamespace(  # TensorFlow would track a dict
            execution=before,
            functions=[getattr(self, name) for name in _FUNCTIONS],
        )
        known = kept is not None and kept.execution == (steps, rows)
        functions = kept.functions if known else [None] * len(_FUNCTIONS)
        self.steps_per_execution, self._rows = steps, rows
        for name, function in zip(_FUNCTIONS, functions, strict=True):
            setattr(self, name, function)

    def _notice_frozen_layers(self) -> None:
        """Recompiles the step, which fixes whether each layer learns."""
        if not self.trainable:  # given to the constructor, before its layers
            for layer in self.layers:
                layer.trainable = False
        learning = [layer.trainable for layer in local_layers(self)]
        if learning != self._learning:
            self._kept = None
            if self.train_function:
                forget_traces()
                self.make_train_function(force=True)
        self._learning = learning

    def _check_fit(
        self,
        x: Any = None,
        y: Any = None,
        callbacks: Any = None,
        class_weight: Any = None,
        sample_weight: Any = None,
        validation_data: Any = None,
        validation_split: float | None = None,
        **others: Any,
    ) -> None:
        """Rejects or warns about arguments with no effect without a loss."""
        if class_weight is not None or sample_weight is not None:
            raise ValueError(
                "Expected `compile(loss=...)` for `class_weight` or "
                "`sample_weight`: local layers weight all samples equally. "
                "Received: loss=None"
            )
        arrays = all(hasattr(each, "shape") for each in keras.tree.flatten(x))
        if arrays:
            self._check_labels(y)
        unused = []
        if not self._is_measured():
            if y is not None:
                unused.append("the labels `y`")
            validated = validation_data is not None or validation_split
            if validated and type(self).test_step is _LocalTraining.test_step:
                unused.append(
                    "the validation data (see `compile(metrics=...)`)"
                )
        trained = [x.path for x in self.trainable_weights]
        if trained:
            unused.append(f"the trainable weights {', '.join(trained)}")
        # Keras wraps its default optimizer if it scales the loss.
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if optimizer is not None:
            default = keras.optimizers.RMSprop(name=optimizer.name)
            if optimizer.get_config() != default.get_config():
                unused.append(f"the optimizer {type(optimizer).__name__}")
        of_optimizers = (
            keras.callbacks.LearningRateScheduler,
            keras.callbacks.ReduceLROnPlateau,
        )
        unused += [
            f"the callback {type(each).__name__} (see `LinearRateDecay`)"
            for each in keras.tree.flatten(callbacks)
            if isinstance(each, of_optimizers)
        ]
        if self._is_frozen():
            warnings.warn(
                "Nothing learns in this `fit`, because the model or all of its "
                "local layers have `trainable=False`: "
                f"{', '.join(layer.name for layer in local_layers(self))}",
                stacklevel=4,
            )
        if unused:
            warnings.warn(
                "Without a loss only the local layers learn. These have no "
                f"effect: {'; '.join(unused)}. Leave them out, or use "
                "`compile(loss=...)`",
                stacklevel=4,
            )

    def _check_labels(self, y: Any) -> None:
        if self._compile_metrics is not None and y is None:
            raise ValueError(
                "Expected labels `y` for the metrics of `compile`. "
                "Received: y=None"
            )

    def _is_frozen(self) -> bool:
        """Whether no local layer learns, nor any other keeps statistics."""
        local = local_layers(self)
        frozen = {id(x) for layer in local for x in layer.variables}
        return (
            bool(local and self.built)
            and not (self.trainable and any(x.trainable for x in local))
            and all(id(x) in frozen for x in self.non_trainable_variables)
        )

    def _check_values(self, inputs: np.ndarray) -> None:
        """Rejects an array with batches that a layer would have to skip."""
        if not inputs.size or not inputs.shape:
            raise ValueError(
                "Expected at least one sample. "
                f"Received: an array of shape {inputs.shape}"
            )
        layers = self._layers_at_the_input()
        if not layers or isinstance(inputs, np.memmap):
            return  # do not read a whole memory map
        low, high = inputs.min(), inputs.max()
        for layer in layers:
            negative = layer.non_negative_inputs and low < 0
            if negative or not np.isfinite([low, high]).all():
                raise ValueError(
                    f"Expected {layer.expects} for {layer.name}. Received: "
                    f"values from {low} to {high}"
                )

    def _layers_at_the_input(self) -> list[LocalLearningLayer]:
        """The local layers that get the values of the inputs unchanged."""
        if type(self).call is keras.Sequential.call:
            upwards = itertools.dropwhile(_only_reshapes, self.layers)
            first = list(itertools.islice(upwards, 1))
        elif type(self).call is _Functional.call and len(self.inputs) == 1:
            first = [x for x in self.layers if x.input is self.inputs[0]]
        else:
            return []
        layers = [x.layer if isinstance(x, Convolution) else x for x in first]
        return [
            layer
            for layer in layers
            if isinstance(layer, LocalLearningLayer)
            and layer.trainable
            and type(layer).call is LocalLearningLayer.call
        ]

    def _last_layer(self) -> LocalLearningLayer | None:
        """The last layer, if nothing reads its outputs but the caller.

        Only on torch: compiled steps drop outputs that are not read.
        """
        if keras.backend.backend() != "torch" or not self.layers:
            return None
        last = self.layers[-1]
        alone = (
            type(self).call is keras.Sequential.call
            and not any(last in local_layers(x) for x in self.layers[:-1])
            and getattr(type(last), "call", None) is LocalLearningLayer.call
            and not (self._forward_hooks or last._forward_hooks)
        )
        return last if alone else None

    def _is_measured(self) -> bool:
        return any(metric.name != "loss" for metric in self.metrics)

    def _step(self, data: Any, training: bool) -> dict[str, Any]:
        if isinstance(data, Rows):
            data = data.take()
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if training and sample_weight is not None:
            self._check_fit(sample_weight=sample_weight)
        self._check_labels(y)
        measured = self._is_measured()
        with unread(None if measured else self._last_layer()):
            outputs = self(x, training=training)
        first, *_ = self._layers_without_loss()
        if measured:
            logs = self.compute_metrics(x, y, outputs, sample_weight)
            return {name: logs[name] for name in logs if name != "loss"}
        if not training:
            return reports(self)
        # On TensorFlow every step must return logs.
        return {"iterations": keras.ops.convert_to_tensor(first.iterations)}

    def _layers_without_loss(self) -> list[LocalLearningLayer]:
        """The local layers, at least one, of a model with nothing to minimize.

        Rejects models with a loss that would be dropped, or without learning.
        """
        layers = local_layers(self)
        if not layers or self.losses:
            raise ValueError(
                "Expected `compile(loss=...)` for a model that has no local "
                "layer, or whose layers add losses or regularize their weights "
                "or outputs. Received: loss=None"
            )
        return layers

    if keras.backend.backend() == "jax":

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

        def _purge_model_variables(self, **kinds: bool) -> None:
            """Does nothing, so that no weight is lost if a first step fails.

            Keras removes the values of all variables before the step, whose
            data may have the wrong shape. Compiled steps reuse their memory
            all the same.
            """

    else:
        # These get other arguments, as in Keras.
        def train_step(self, data: Any) -> Any:  # type: ignore[misc]
            if self.loss is None:
                return self._step(data, training=True)
            return super().train_step(data)

        def test_step(self, data: Any) -> Any:  # type: ignore[misc]
            if self.loss is None:
                return self._step(data, training=False)
            return super().test_step(data)

    if keras.backend.backend() == "torch":

        def _initialize_ddp(self) -> None:
            """Does nothing without a loss: local layers sum over the ranks.

            From 3.16 on Keras calls this in `fit` on every rank, for gradients
            that such a model does not have.
            """
            if self.loss is not None:
                super()._initialize_ddp()

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras, but an execution may be one program."""
        jit_is_open = "jit_compile" in self._left_open
        execution = execution_of(self, self._rows, jit_is_open)
        if execution and (force or self.train_function is None):
            self.train_function = execution(
                self.train_step, self.steps_per_execution
            )
        super().make_train_function(force and not execution)


@keras.saving.register_keras_serializable(package="keras_hebbian")
class HebbianModel(_LocalTraining, keras.Model):
    """A `keras.Model` that fits without labels, loss or gradient.

    Use it like `keras.Model`: with inputs and outputs, or subclassed. After
    `compile()` without a loss, each step of `fit(x)` is one forward pass in
    which the local layers learn, and nothing else. With `compile(loss=...)`,
    all other layers are trained by backpropagation in the same `fit`. In both
    cases the history and, at the end of each epoch, the progress bar show the
    values that the local layers report; with several local layers, each name
    starts with the name of its layer. `evaluate` returns the compiled metrics
    or, if there are none, the reported values.

    Without a loss and without `steps_per_execution` in `compile`, `fit` runs
    40 steps per execution on TensorFlow and 20 on JAX if the data are arrays,
    the epochs have 200 batches or more in all, no callback acts on each batch,
    and neither `steps_per_epoch` nor `validation_steps` is given. Without
    `jit_compile` in `compile`, it then compiles them with XLA on
    TensorFlow and a CPU if all layers are dense local layers, or layers of
    Keras without weights.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> inputs = keras.Input((6,))
    >>> model = kh.HebbianModel(inputs, kh.HebbianCompetitive(4)(inputs))
    >>> model.compile()
    >>> history = model.fit(np.random.rand(20, 6), epochs=2, verbose=0)
    >>> list(history.history)
    ['norm_distance']

    Args:
        *args: Arguments of `keras.Model`.
        **kwargs: Arguments of `keras.Model`.

    Raises:
        ValueError: In `fit`, if `epochs` or `batch_size` is no whole number,
            if an array is empty, or if a local layer that gets it unchanged
            cannot learn from all of it (values that are not finite, or
            negative ones for `LateralInhibitionSparse`). Without a loss, also
            for `sample_weight` or `class_weight`, if metrics get no labels, or
            if the model has no local layer, or a layer or regularizer adds a
            loss.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is HebbianModel and _is_functional(args, kwargs):
            cls = FunctionalHebbianModel
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if _is_functional(args, kwargs):
            _make_functional(type(self))
            _Functional.__init__(self, *args, **kwargs)
        else:
            super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable(package="keras_hebbian")
class FunctionalHebbianModel(HebbianModel, _Functional):
    """The class of `HebbianModel(inputs, outputs)`."""


def _is_functional(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return len(args) > 1 or "outputs" in kwargs


def _make_functional(cls: type) -> type:
    """Lets a class inherit from `FunctionalHebbianModel`.

    Keras does this to subclasses of `keras.Model` that are made from inputs and
    outputs. It would also do it to `HebbianModel`, and all other subclasses
    would fail from then on.
    """
    if cls is HebbianModel:
        return FunctionalHebbianModel
    if issubclass(cls, HebbianModel) and not issubclass(cls, _Functional):
        cls.__bases__ = tuple(map(_make_functional, cls.__bases__))
    return cls


@keras.saving.register_keras_serializable(package="keras_hebbian")
class HebbianSequential(_LocalTraining, keras.Sequential):
    """A `keras.Sequential` that fits without labels, loss or gradient.

    After `compile()` without a loss, each step of `fit(x)` is one forward pass
    in which the local layers learn, and nothing else. With `compile(loss=...)`,
    all other layers are trained by backpropagation in the same `fit`. In both
    cases the history and, at the end of each epoch, the progress bar show the
    values that the local layers report; with several local layers, each name
    starts with the name of its layer. `evaluate` returns the compiled metrics
    or, if there are none, the reported values. `fit_layerwise` trains the local
    layers one after another.

    Without a loss and without `steps_per_execution` in `compile`, `fit` runs
    40 steps per execution on TensorFlow and 20 on JAX if the data are arrays,
    the epochs have 200 batches or more in all, no callback acts on each batch,
    and neither `steps_per_epoch` nor `validation_steps` is given. Without
    `jit_compile` in `compile`, it then compiles them with XLA on
    TensorFlow and a CPU if all layers are dense local layers, or layers of
    Keras without weights.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> model = kh.HebbianSequential([kh.HebbianCompetitive(4)])
    >>> model.compile()
    >>> history = model.fit(np.random.rand(20, 6), epochs=2, verbose=0)
    >>> list(history.history)
    ['norm_distance']

    Args:
        layers: List of layers, the first of which may be a `keras.Input`.
        trainable: Whether the layers learn or are trained. Defaults to `True`.
        name: Name of the model. Defaults to `None`.

    Raises:
        ValueError: In `fit`, if `epochs` or `batch_size` is no whole number,
            if an array is empty, or if a local layer that gets it unchanged
            cannot learn from all of it (values that are not finite, or
            negative ones for `LateralInhibitionSparse`). Without a loss, also
            for `sample_weight` or `class_weight`, if metrics get no labels, or
            if the model has no local layer, or a layer or regularizer adds a
            loss.
    """
