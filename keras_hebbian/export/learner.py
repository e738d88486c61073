"""Base class of learners in every format."""

import functools
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import FLOAT32_MAX, Tensor
from keras_hebbian.layers.local_layers import collect, local_layers, untaken
from keras_hebbian.layers.local_learning import LocalLearningLayer


class Learner:
    """A model as TensorFlow functions with their own variables."""

    backends: tuple[str, ...]

    def __init__(self, model: keras.Model, spec: keras.InputSpec) -> None:
        import tensorflow as tf

        self.model = model
        self.spec = tf.TensorSpec(spec.shape, spec.dtype, name="inputs")
        layers = local_layers(model)
        self.layers = [layer for layer in layers if layer.trainable]
        factors = _ids(layer.rate_factors for layer in layers)
        weights = [x for x in model.variables if id(x) not in factors]
        self.initial = [ops.convert_to_numpy(weight) for weight in weights]
        self.state = [tf.Variable(value) for value in self.initial]
        self._ids = _ids(weights)
        state = dict(zip(self._ids, self.state, strict=True))

        def counters(layer: LocalLearningLayer) -> dict[str, Any]:
            names = {"learned": layer.iterations, "skipped": layer.skipped}
            return {name: state[id(x)] for name, x in names.items()}

        def rates(layer: LocalLearningLayer) -> dict[str, Any]:
            names = layer.decayable_rates()
            return {name: state[id(layer._rates[name])] for name in names}

        self.counters = _named(collect(self.layers, counters).items())
        self.rates = _named(collect(self.layers, rates).items())
        names = ("_".join(x.path.split("/")[-2:]) for x in weights)
        self.named = _named(zip(names, self.state, strict=True))

    # Implemented by each format.

    def start(self) -> list[Tensor]:
        """The exported weights, as TensorFlow tensors."""
        raise NotImplementedError

    def checked(self, value: Tensor, spec: Any) -> Tensor:
        """Returns a TensorFlow tensor if it has the shape of `spec`."""
        return value

    def write(self, path: pathlib.Path) -> None:
        """Writes the learner."""
        raise NotImplementedError

    # The signatures.

    def infer(self, inputs: Tensor) -> dict[str, Tensor]:
        names = getattr(self.model, "output_names", ())
        names = names if len(names) > 1 else ["outputs"]
        call = self._in_tensorflow(self._outputs)
        outputs = call(self._values(), self.checked(inputs, self.spec))
        return dict(zip(names, outputs, strict=True))

    def learn(self, inputs: Tensor) -> dict[str, Tensor]:
        call = self._in_tensorflow(self._learned)
        before = self._values()
        after = call(before, self.checked(inputs, self.spec))
        for variable, old, new in zip(self.state, before, after, strict=True):
            if new is not old:
                variable.assign(new)
        return self._counted()

    def get_weights(self) -> dict[str, Tensor]:
        return {name: x.read_value() for name, x in self.named.items()}

    def set_weights(self, **weights: Tensor) -> dict[str, Tensor]:
        for name, variable in self.named.items():
            variable.assign(self.checked(weights[name], variable))
        return self._counted()

    def set_rates(self, **rates: Tensor) -> dict[str, Tensor]:
        for name, variable in self.rates.items():
            variable.assign(self.checked(rates[name], variable))
        return self._counted()

    def reset(self) -> dict[str, Tensor]:
        for variable, value in zip(self.state, self.start(), strict=True):
            variable.assign(value)
        return self._counted()

    def save(self, folder: pathlib.Path, **tracked: Any) -> list[str]:
        """Writes a SavedModel, and returns the names of its signatures."""
        import tensorflow as tf

        def specs(variables: dict[str, Any]) -> dict[str, Any]:
            return {
                name: tf.TensorSpec(x.shape, x.dtype, name=name)
                for name, x in variables.items()
            }

        takes = {
            "infer": {"inputs": self.spec},
            "learn": {"inputs": self.spec},
            "get_weights": {},
            "set_weights": specs(self.named),
            "set_rates": specs(self.rates),
            "reset": {},
        }
        if not self.rates:
            del takes["set_rates"]
        module, signatures = tf.Module(), {}
        for name, value in {"state": self.state, **tracked}.items():
            setattr(module, name, value)
        for name, given in takes.items():
            function = tf.function(getattr(self, name), autograph=False)
            signatures[name] = function.get_concrete_function(**given)
            setattr(module, name, function)
        tf.saved_model.save(module, str(folder), signatures=signatures)
        return list(signatures)

    # The model, as functions of the values of its weights.

    def _outputs(self, values: list[Tensor], inputs: Tensor) -> list[Tensor]:
        outputs, _ = self._call(values, inputs, training=False)
        return keras.tree.flatten(outputs)

    def _learned(self, values: list[Tensor], inputs: Tensor) -> list[Tensor]:
        """The values after a step of learning, if all of them are finite.

        Every layer checks its own step, but may miss an error if a maximum
        ignores NaN or sums saturate at the largest number. The statistics of
        other layers are not checked elsewhere.
        """
        _, others = self._call(values, inputs, training=True)
        names = _ids(self.model.non_trainable_variables)
        before = dict(zip(self._ids, values, strict=True))
        after = before | dict(zip(names, others, strict=True))
        moved = [x for x in before if after[x] is not before[x]]
        totals = (
            ops.sum(ops.abs(ops.cast(value, "float32")))
            for value in (inputs, *(after[x] for x in moved))
        )
        checks = [total < FLOAT32_MAX for total in totals]
        sound = functools.reduce(ops.logical_and, checks)
        kept = dict(before)
        for layer in self.layers:
            kept[id(layer.skipped)] += 1
        for name in moved:
            after[name] = ops.where(sound, after[name], kept[name])
        return [after[name] for name in before]

    def _call(
        self, values: list[Tensor], inputs: Tensor, training: bool
    ) -> Any:
        """Outputs, and new values of the weights that are not trainable."""
        known = dict(zip(self._ids, values, strict=True))

        def value(weight: Any) -> Tensor:
            # A decay ends with its `fit`: the factors of the rates are 1.
            if id(weight) in known:
                return known[id(weight)]
            return ops.ones(weight.shape, weight.dtype)

        model = self.model
        trainable, others = (
            [value(weight) for weight in weights]
            for weights in (
                model.trainable_variables,
                model.non_trainable_variables,
            )
        )
        return model.stateless_call(
            trainable, others, inputs, training=training
        )

    def _in_tensorflow(
        self, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        if keras.backend.backend() == "tensorflow":
            return function
        from jax.experimental import jax2tf

        sizes = enumerate(self.spec.shape)
        shape = ", ".join(str(size or f"d{axis}") for axis, size in sizes)
        return jax2tf.convert(
            function, polymorphic_shapes=[None, shape], with_gradient=False
        )

    def _values(self) -> list[Tensor]:
        return [variable.read_value() for variable in self.state]

    def _counted(self) -> dict[str, Tensor]:
        return {name: x.read_value() for name, x in self.counters.items()}


def _ids(variables: Iterable[Any]) -> list[int]:
    return [id(variable) for variable in variables]


def _named(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The items under unique names that are valid for arguments."""
    named: dict[str, Any] = {}
    for name, value in items:
        name = re.sub(r"\W", "_", name, flags=re.ASCII)
        if not name[0].isalpha():
            name = f"layer_{name}"
        named[untaken(name, named)] = value
    return named
