"""What every layer that learns by a local rule shares."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor
from keras import ops
from keras.optimizers import schedules

from keras_hebbian._arguments import check_integer, check_values
from keras_hebbian._backend import choose
from keras_hebbian._replicas import sum_over_replicas


class LocalLearningLayer(keras.layers.Layer):
    """Base of the layers that learn by a local rule inside `call`.

    In `call(training=True)`, unless `layer.trainable` is `False`, the layer
    moves its own weights by its own rule, as `BatchNormalization` moves its
    statistics. No gradient reaches these weights; gradients pass through the
    layer to the layers below. At inference nothing moves.

    A subclass declares its rates with `Rate()`, names the weights that its
    rule moves in `state_names`, and writes four methods: `build_state` creates
    these weights, `respond` computes the outputs, `learn` the new weights, and
    `report` the scalars worth watching. It never assigns a weight itself. If
    the rule needs more than finite inputs, `usable` says so, and
    `learns_from` in words. If it learns without its outputs, set
    `needs_response` to `False`: a step that nobody else needs them for then
    does not compute them.

    Example:

    Oja's rule for one unit, which finds the first principal component:

    >>> from keras import ops
    >>> import keras_hebbian as kh
    >>> class Oja(kh.LocalLearningLayer):
    ...     learning_rate = kh.Rate()
    ...     state_names = ("kernel",)
    ...
    ...     def __init__(self, units=1, learning_rate=0.01, **kwargs):
    ...         super().__init__(units, **kwargs)
    ...         self.learning_rate = learning_rate
    ...
    ...     def build_state(self, input_dim):
    ...         shape = (input_dim, self.units)
    ...         self.kernel = self.add_state("kernel", shape, "glorot_normal")
    ...
    ...     def respond(self, inputs, state):
    ...         return inputs @ state["kernel"]
    ...
    ...     def learn(self, inputs, response, state, rates):
    ...         kernel = state["kernel"]
    ...         error = inputs - response @ ops.transpose(kernel)
    ...         step = ops.transpose(error) @ response
    ...         return {"kernel": kernel + rates["learning_rate"] * step}

    Args:
        units: Integer >= `minimum_units`, number of units.
        activation: Activation function of the outputs. Learning does not see
            it. Defaults to `None`, the outputs as they are.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of rank >= 2, `(..., inputs)`. All axes but the last are
            samples. Integers are cast to the compute dtype.
        training: Whether the layer learns from `inputs`. A batch that is not
            usable, or whose update would overflow, is counted in `skipped`
            and teaches nothing.

    Input shape:
        `(batch, ..., inputs)`

    Output shape:
        `(batch, ..., units)`

    Raises:
        ValueError: If an argument is out of range, if inputs have rank 1, if
            their last dimension is unknown, or if the layer itself is called
            on values that it cannot learn from.
    """

    state_names: tuple[str, ...] = ()
    learns_from = "finite"
    needs_response = True
    minimum_units = 1

    def __init__(
        self, units: int, activation: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._given_rates: dict[str, Any] = {}
        self._rates: dict[str, Any] = {}
        self.iterations = None
        self.skipped = None
        self.units = check_integer("units", units, self.minimum_units)
        self.activation = keras.activations.get(activation)

    # What a subclass writes.

    def build_state(self, input_dim: int) -> None:
        """Creates the weights of `state_names` with `add_state`."""
        raise NotImplementedError

    def respond(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        """Outputs before the activation, `(..., units)`, for the state."""
        raise NotImplementedError

    def learn(
        self,
        inputs: Tensor,
        response: Tensor | None,
        state: dict[str, Tensor],
        rates: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """New values of the weights that a batch moves.

        Args:
            inputs: The batch, `(batch, inputs)`.
            response: What `respond` returned for it, `(batch, units)`. `None`
                if it was not computed, because `needs_response` is `False`.
            state: The weights of `state_names` before the batch, by name.
            rates: The rates at this moment, by name.

        Returns:
            The weights after the batch, by name. What other names hold is
            for `sound` to see.
        """
        raise NotImplementedError

    def usable(self, inputs: Tensor) -> Tensor:
        """Whether the rule can learn from a batch, a scalar.

        Any other batch leaves the state as it was.
        """
        return ops.all(ops.isfinite(inputs))

    def sound(self, inputs: Tensor, learned: dict[str, Tensor]) -> Tensor:
        """Whether a batch was usable and the new weights are finite, a scalar.

        Otherwise the batch leaves the state as it was. Sums are the cheapest
        witness: one that overflows is of weights that are lost anyway.
        """
        total = sum(ops.sum(learned[name]) for name in self.state_names)
        return ops.logical_and(self.usable(inputs), ops.isfinite(total))

    def report(self) -> dict[str, Tensor]:
        """Scalars that say how learning goes, from the weights alone.

        By default the number of batches learned from.
        """
        return {"iterations": ops.cast(self.iterations.value, "float32")}

    # What it gets.

    def add_state(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Any,
        dtype: str | None = None,
    ) -> Any:
        """A weight that the rule moves and no gradient reaches.

        It is float32 (float64 under a float64 policy) and never autocast:
        under a mixed policy small steps would be lost.
        """
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=dtype or wide,
            trainable=False,
            autocast=False,
        )

    @property
    def rates(self) -> dict[str, Any]:
        """The rates at this moment, by name."""
        return {name: getattr(self, name) for name in self._rates}

    @property
    def given_rates(self) -> dict[str, float]:
        """The rates as they were given, annealed or not, without schedules."""
        return {
            name: rate
            for name, rate in self._given_rates.items()
            if not isinstance(rate, schedules.LearningRateSchedule)
        }

    def scale_rates(self, factors: dict[str, float]) -> None:
        """Sets each named rate to a multiple of the rate that was given."""
        for name, factor in factors.items():
            rate = factor * self._given_rates[name]
            if self.built:
                self._rates[name].assign(rate)
            else:
                self._rates[name] = rate

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) < 2:
            raise ValueError(
                "Expected inputs of rank >= 2, `(batch, ..., inputs)`. "
                f"Received: input_shape={input_shape}"
            )
        if not input_shape[-1]:
            raise ValueError(
                "Expected inputs with a known last dimension >= 1. "
                f"Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(
            min_ndim=2, axes={-1: input_shape[-1]}
        )
        self.build_state(input_shape[-1])
        self.iterations = self.add_state(
            "iterations", (), "zeros", dtype="int32"
        )
        self.skipped = self.add_state("skipped", (), "zeros", dtype="int32")
        for name in self.given_rates:
            # `initializers.Constant` would round it to float32 on torch.
            constant = functools.partial(np.full, fill_value=self._rates[name])
            self._rates[name] = self.add_state(name, (), constant)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if self._get_call_context().entry_layer is self:
            self.refuse_unusable(inputs)
        inputs = ops.cast(inputs, self.compute_dtype)
        learning = bool(training) and self.trainable
        state = self._values()
        if learning and getattr(inputs, "requires_grad", False):
            # torch assigns in place what autograd still needs.
            state = {name: ops.copy(value) for name, value in state.items()}
        response = self.respond(inputs, state)
        if learning:
            self._learn(inputs, response, state)
        # Keras refuses to fit or evaluate a model that has no loss at all.
        self.add_loss(ops.zeros(()))
        return self.activation(ops.cast(response, self.compute_dtype))

    def learn_from(self, inputs: Tensor) -> None:
        """Learns as a built layer does in training, without its outputs.

        torch cannot see that nobody uses them, and they take a third of a step.
        A `ValueError` tells of inputs whose last dimension does not fit.
        """
        if tuple(inputs.shape[-1:]) != (self.input_spec.axes[-1],):
            raise ValueError(
                f"Expected inputs of {self.name} with last dimension "
                f"{self.input_spec.axes[-1]}. Received: shape={inputs.shape}"
            )
        if self.trainable:
            inputs = ops.cast(inputs, self.compute_dtype)
            state = self._values()
            response = None
            if self.needs_response:
                response = self.respond(inputs, state)
            self._learn(inputs, response, state)

    def _values(self) -> dict[str, Tensor]:
        return {name: weight.value for name, weight in self.state.items()}

    def _learn(
        self, inputs: Tensor, response: Tensor | None, state: dict[str, Tensor]
    ) -> None:
        inputs, response = (
            x if x is None else self._samples(x) for x in (inputs, response)
        )
        dtype = next(iter(state.values())).dtype
        rates = {
            name: ops.cast(rate, dtype) for name, rate in self.rates.items()
        }
        learned = self.learn(inputs, response, state, rates)
        unsound = 1 - ops.cast(self.sound(inputs, learned), "int32")
        skip = sum_over_replicas(unsound) > 0
        learned = {name: learned[name] for name in state}
        for name, value in choose(skip, state, learned).items():
            getattr(self, name).assign(value)
        skipped = ops.cast(skip, "int32")
        self.iterations.assign(self.iterations.value + (1 - skipped))
        self.skipped.assign(self.skipped.value + skipped)

    @staticmethod
    def _samples(values: Tensor) -> Tensor:
        values = ops.stop_gradient(values)
        if len(values.shape) == 2:
            return values
        return ops.reshape(values, (-1, values.shape[-1]))

    def refuse_unusable(self, inputs: Any) -> None:
        """Raises a `ValueError` for values that the rule cannot learn from.

        Used where the values can be seen: when the layer itself is called
        outside of a compiled step, and by `fit` on arrays.
        """
        inputs = ops.cast(inputs, self.compute_dtype)
        expected = f"{self.learns_from} inputs of {self.name}"
        check_values(expected, inputs, self.usable(inputs))

    @property
    def state(self) -> dict[str, Any]:
        """The weights that the rule moves, by name."""
        return {name: getattr(self, name) for name in self.state_names}

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        rates = {
            name: schedules.serialize(rate)
            if isinstance(rate, schedules.LearningRateSchedule)
            else rate
            for name, rate in self._given_rates.items()
        }
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            **rates,
        }


def local_layers(model: keras.Model) -> list[LocalLearningLayer]:
    """All local layers of a model, nested ones too, each once."""
    layers = model._flatten_layers(include_self=False)
    local = (x for x in layers if isinstance(x, LocalLearningLayer))
    return list(dict.fromkeys(local))


def collect(
    layers: Iterable[LocalLearningLayer],
    read: Callable[[LocalLearningLayer], dict[str, Any]],
) -> dict[str, Any]:
    """What `read` finds in each layer, under names fit for the logs.

    With several layers each name starts with the layer's own.
    """
    layers = list(layers)
    return {
        f"{layer.name}_{name}" if len(layers) > 1 else name: value
        for layer in layers
        for name, value in read(layer).items()
    }
