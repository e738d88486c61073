"""Models whose training step needs no labels, no loss and no gradient."""

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import keras
import numpy as np

from keras_hebbian._arguments import check_integer
from keras_hebbian._backend import forget_traces
from keras_hebbian._checks import (
    Functional,
    check_data,
    check_fit,
    check_labels,
    check_values,
    check_votes,
    check_weights,
)
from keras_hebbian._execution import (
    execution_of,
    needs_batches,
    only_learns,
    rows_of,
    rows_per_step,
    steps_of_execution,
)
from keras_hebbian._programs import Rows
from keras_hebbian.callbacks._reports import LayerReports, reports
from keras_hebbian.callbacks.linear_rate_decay import LinearRateDecay
from keras_hebbian.layers.local_layers import local_layers
from keras_hebbian.layers.local_learning import LocalLearningLayer

# Arguments of `compile` that are left to `fit` if they are not given.
OPEN = {"steps_per_execution", "jit_compile"}
# Compiled steps, which Keras keeps from one call to the next.
_FUNCTIONS = ("train_function", "test_function", "predict_function")

_Mixin: Any = object  # of Keras's models, whose attributes it uses
_Method = TypeVar("_Method", bound=Callable[..., Any])


def _as_in(method: Any) -> Callable[[_Method], _Method]:
    """`functools.wraps`, whose result type checkers take for no method."""
    wraps: Any = functools.wraps(method)
    return wraps


class _LocalTraining(_Mixin):
    """The training step of the models below.

    Compiled without a loss, a step is one forward pass in which the local
    layers learn: no loss, no optimizer. With a loss it is Keras's own step.
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
        if self._has_own("compile"):
            super().compile_from_config(config)
            return
        self.compile(**keras.saving.deserialize_keras_object(config))
        # Without a loss, `fit` builds it as well, but not on TensorFlow.
        used = self._has_loss() or keras.backend.backend() != "tensorflow"
        if self.optimizer is not None and self.built and used:
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
        if self.compiled and not self._has_loss():
            check_data(self, **given)
            check_fit(self, **given)
        x: Any = given.get("x")
        if keras.ops.is_tensor(x) and hasattr(x, "__array__"):  # not sparse
            x = keras.ops.convert_to_numpy(x)
        if isinstance(x, np.ndarray | np.generic):
            check_values(self, x)
        whole: Any = given.get("callbacks")
        in_list = isinstance(whole, keras.callbacks.CallbackList)
        callbacks = whole.callbacks if in_list else keras.tree.flatten(whole)
        callbacks = [
            each
            for each in callbacks
            if each is not None and not isinstance(each, LayerReports)
        ]
        reporting = LayerReports(
            # Keras would hand its logs to a thread, which takes longer.
            keras.backend.backend() == "torch"
            or any(
                needs_batches(each) and not getattr(each, "async_safe", False)
                for each in callbacks
            )
        )
        if in_list:
            whole.callbacks = [reporting, *callbacks]
            reporting.set_model(self)
        else:
            given["callbacks"] = [reporting, *callbacks]
        steps = self.steps_per_execution
        if self.compiled and "steps_per_execution" in self._left_open:
            steps = steps_of_execution(self, given, callbacks)
        rows = None
        if not self._has_own("train_step"):
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
        with self._execution_restored():
            self._set_execution(self._steps_said(), rows=None)
            self._notice_frozen_layers()
            return super().train_on_batch(*args, **kwargs)

    @_as_in(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        evaluate = super().evaluate
        if kwargs.get("_use_cached_eval_dataset"):  # the validation of `fit`
            return evaluate(*args, **kwargs)
        stock = not self._has_own("test_step")
        if self.compiled and stock and not self._has_loss():
            given = inspect.signature(evaluate).bind(*args, **kwargs).arguments
            check_data(self, **given)
            if self._is_measured():
                check_votes(self)
        with self._as_outside_of_fit():
            return evaluate(*args, **kwargs)

    @_as_in(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        with self._as_outside_of_fit():
            return super().predict(*args, **kwargs)

    @_as_in(keras.Model.test_on_batch)
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        with self._as_outside_of_fit():
            return super().test_on_batch(*args, **kwargs)

    @_as_in(keras.Model.predict_on_batch)
    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        with self._as_outside_of_fit():
            return super().predict_on_batch(*args, **kwargs)

    @contextlib.contextmanager
    def _as_outside_of_fit(self) -> Iterator[None]:
        """Lets a callback evaluate or predict with the steps of `compile`."""
        if not self._fitting:
            yield
            return
        during = self.steps_per_execution, self._rows
        self._set_execution(self._steps_said(), rows=None)
        try:
            yield
        finally:
            self._set_execution(*during)

    @contextlib.contextmanager
    def _execution_restored(self) -> Iterator[None]:
        """Ends what `fit` chose for its own steps.

        A callback may train the model within a fit, which then goes on.
        """
        if self._fitting:
            names = ("steps_per_execution", "_rows", "_learning", *_FUNCTIONS)
            before = {name: getattr(self, name) for name in names}
            try:
                yield
            finally:
                for name, value in before.items():
                    setattr(self, name, value)
            return
        self._fitting = True
        try:
            yield
        finally:
            self._fitting = False
            self._set_execution(self._steps_said(), self._rows)

    def _steps_said(self) -> int:
        """The steps per execution, 1 where `compile` leaves them open."""
        is_open = "steps_per_execution" in self._left_open
        return 1 if is_open else self.steps_per_execution

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
        for model in self._flatten_layers():
            # It may be given to the constructor, before the layers.
            if isinstance(model, _LocalTraining) and not model.trainable:
                for layer in model.layers:
                    layer.trainable = False
        learning = [layer.trainable for layer in local_layers(self)]
        if learning != self._learning:
            self._kept = None
            if self._learning is not None:
                forget_traces()
            if self.train_function:
                self.make_train_function(force=True)
        self._learning = learning

    def _learns_from(self, x: Any) -> bool:
        """Lets a single local layer learn from a batch, if that is all.

        Only on torch: compiled steps drop outputs that are not read, but there
        the calls of the model and the layer take longer than a short step.
        """
        if keras.backend.backend() != "torch" or not only_learns(self, x):
            return False
        *below, layer = self.layers
        for each in below:
            x = each.call(x)
        layer.update_state(x)
        return True

    def _has_own(self, method: str) -> bool:
        """Whether a subclass overrides a method."""
        base = _LocalTraining if method in vars(_LocalTraining) else keras.Model
        return getattr(type(self), method) is not getattr(base, method)

    def _has_loss(self) -> bool:
        """Whether there is a loss, from `compile` or a subclass."""
        return self.loss is not None or self._has_own("compute_loss")

    def _is_measured(self) -> bool:
        has_metrics = any(metric.name != "loss" for metric in self.metrics)
        return has_metrics or self._has_own("compute_metrics")

    def _step(self, data: Any, training: bool) -> dict[str, Any]:
        if isinstance(data, Rows):
            data = data.take()
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        measured = self._is_measured()
        if training or not measured:
            check_weights(sample_weight)
        check_labels(self, y)
        outputs = None
        if measured or not training or not self._learns_from(x):
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
            if not self._has_loss():
                return self._stateless_step(state, data, training=True)
            return super().train_step(state, data)

        def test_step(self, state: Any, data: Any) -> Any:
            if not self._has_loss():
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
            if not self._has_loss():
                return self._step(data, training=True)
            return super().train_step(data)

        def test_step(self, data: Any) -> Any:  # type: ignore[misc]
            if not self._has_loss():
                return self._step(data, training=False)
            return super().test_step(data)

    if keras.backend.backend() == "torch":

        def _initialize_ddp(self) -> None:
            """Does nothing without a loss: local layers sum over the ranks.

            From 3.16 on Keras calls this in `fit` on every rank, for gradients
            that such a model does not have.
            """
            if self._has_loss():
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

    Use it like `keras.Model`: with inputs and outputs, or subclassed. It fits,
    evaluates and reports as `HebbianSequential` does.

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
        ValueError: In `fit`, as for `HebbianSequential`.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is HebbianModel and _is_functional(args, kwargs):
            cls = FunctionalHebbianModel
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if _is_functional(args, kwargs):
            _make_functional(type(self))
            Functional.__init__(self, *args, **kwargs)
        else:
            super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable(package="keras_hebbian")
class FunctionalHebbianModel(HebbianModel, Functional):
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
    if issubclass(cls, HebbianModel) and not issubclass(cls, Functional):
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
    or, if there are none, the reported values; `return_dict=True` names them.
    `fit_layerwise` trains the local layers one after another.

    Without a loss and without `steps_per_execution` in `compile`, `fit` runs
    40 steps per execution on TensorFlow and 20 on JAX if the data are arrays,
    the epochs have 200 batches or more in all, no callback acts on each batch,
    and neither `steps_per_epoch` nor `validation_steps` is given. Without
    `jit_compile` in `compile`, it then compiles them with XLA on TensorFlow and
    a CPU if all layers are dense local layers, or layers of Keras without
    weights.

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
        ValueError: In `fit`, if `epochs` or `batch_size` is not an integer, if
            an array is empty, or if a local layer that gets it unchanged
            cannot learn from all of it (values that are not finite, or
            negative ones for `LateralInhibitionSparse`); a memory map is not
            read in advance. Without a loss, also for `sample_weight` or
            `class_weight`, if metrics get no labels, or if the model has no
            local layer, or a layer or regularizer adds a loss. In `evaluate`
            without a loss, for the same data, and for metrics of a
            `WinnerClassifier` without votes.
    """
