"""Base class of layers that learn by a local rule."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.optimizers import schedules

from keras_hebbian._arguments import Tensor, check_integer
from keras_hebbian._backend import (
    all_finite,
    before_assignment,
    choose,
    shapes_differ,
)
from keras_hebbian._replicas import replica_count, sum_over_replicas


class LocalLearningLayer(keras.layers.Layer):
    """Base class of layers that learn by a local rule inside `call`.

    In `call(training=True)`, unless `layer.trainable` is `False`, the layer
    updates its own weights by its own rule, as `BatchNormalization` updates its
    statistics. No gradient reaches these weights; gradients pass through the
    layer to the layers below. At inference nothing changes. A layer that is
    called several times in a step, as by `TimeDistributed`, learns and counts
    an iteration in each call, from the weights that the call before left. It
    cannot learn in the cell of an RNN or another loop of the backend, and under
    `keras.RematScope` it may learn once more when its call is repeated.

    A subclass declares its rates with `Rate()`, lists the weights that its rule
    updates in `state_names`, and implements `build_state`, which creates these
    weights, `respond`, which computes the outputs, and `learn`, which computes
    the new weights. It never assigns a weight itself. Inputs, response, state
    and rates are all passed in `state_dtype`, so that a rule works under every
    dtype policy. On data-parallel replicas a rule sums over its batch with
    `keras_hebbian.sum_over_replicas`. Everything else has a default:

    | name | meaning | default |
    |---|---|---|
    | `drives` | quantity the units compete by | the response |
    | `report` | scalars for the logs | `iterations` |
    | `measures` | additional measures of `LearningMonitor` | none |
    | `needs_response` | whether `learn` uses the response | `True` |
    | `non_negative_inputs` | whether negative inputs are rejected | `False` |
    | `usable` | whether the rule can learn from a batch | finite inputs |
    | `sound` | whether an update is kept | finite weights |

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
        activation: Activation function of the outputs, which learning does
            not use. Defaults to `None`, no activation.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of rank >= 2, `(..., inputs)`. All axes but the last are
            samples. Integers are cast to floats.
        training: Whether the layer learns from `inputs`. Batches that are not
            usable, or whose update would overflow, are skipped and counted in
            `layer.skipped`.

    Input shape:
        `(batch, ..., inputs)`

    Output shape:
        `(batch, ..., units)`

    Raises:
        ValueError: If an argument is out of range, if inputs have rank 1, if
            their last dimension is unknown, or, in training, if they have a
            mask, such as that of `keras.layers.Masking`.

    Reference:
        Oja, "A simplified neuron model as a principal component analyzer",
        Journal of Mathematical Biology 15:267, 1982, for the example.
    """

    state_names: tuple[str, ...] = ()
    non_negative_inputs = False
    needs_response = True
    minimum_units = 1
    kernel_image_shape: tuple[int, ...] | None = None
    """Shape of the patches, set by a `Convolution` when it is built."""

    def __init__(
        self, units: int, activation: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self._rates: dict[str, Any] = {}
        self._factors: dict[str, float] = {}
        self._observers: list[Callable[[Tensor], None]] = []
        self.rate_factors: Any = None
        self.iterations: Any = None
        self.skipped: Any = None
        self.units = check_integer("units", units, self.minimum_units)
        self.activation = keras.activations.get(activation)

    # Implemented or overridden by subclasses.

    def build_state(self, input_dim: int) -> None:
        """Creates the weights of `state_names` with `add_state`."""
        raise NotImplementedError

    def respond(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        """The outputs before the activation, `(samples, units)`, for a state.

        The samples are the rows of one matrix, `(samples, inputs)`, whatever
        the rank of the layer's inputs.
        """
        raise NotImplementedError

    def drives(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        """The quantity the units compete by, `(samples, units)`: the largest
        wins.

        By default this is the response. `LearningMonitor` and
        `WinnerClassifier(layer=...)` find the winners by it.
        """
        return self.respond(inputs, state)

    def learn(
        self,
        inputs: Tensor,
        response: Tensor | None,
        state: dict[str, Tensor],
        rates: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """The weights after learning from a batch.

        Args:
            inputs: The batch, `(batch, inputs)`.
            response: Output of `respond` for the batch, `(batch, units)`. May
                be `None` if `needs_response` is `False`.
            state: The weights of `state_names` before the batch, by name.
            rates: The current rates, by name.

        Returns:
            The weights after the batch, by name. Any extra entries are only
            passed on to `sound`.
        """
        raise NotImplementedError

    def usable(self, inputs: Tensor) -> Tensor:
        """Whether the rule can learn from a batch, a scalar.

        By default all inputs must be finite and, if `non_negative_inputs` is
        set, not negative. Any other batch is skipped.
        """
        return all_finite(inputs, self.non_negative_inputs)

    def sound(self, inputs: Tensor, learned: dict[str, Tensor]) -> Tensor:
        """Whether a batch was usable and the new weights are finite, a scalar.

        Otherwise the batch is skipped. Checking the sums is the cheapest test;
        if a sum overflows, the weights are unusable anyway.
        """
        sums = (ops.sum(learned[name]) for name in self.state_names)
        total = sum(ops.cast(each, self.state_dtype) for each in sums)
        return ops.logical_and(self.usable(inputs), ops.isfinite(total))

    def report(self) -> dict[str, Tensor]:
        """Scalars for the logs, computed from the weights alone.

        By default the number of batches learned from.
        """
        return {"iterations": ops.cast(self.iterations.value, "float32")}

    def measures(self, drives: Tensor) -> dict[str, Tensor]:
        """Additional measures of `LearningMonitor` on its data.

        Args:
            drives: `drives` for the data, `(samples, units)`.

        Returns:
            Scalars by name, by default none.
        """
        return {}

    # Provided to subclasses.

    @property
    def state_dtype(self) -> str:
        """The dtype of the state: float32, or float64 under a float64 policy.

        Under a mixed policy small steps would be lost in the compute dtype.
        """
        return "float64" if self.variable_dtype == "float64" else "float32"

    def add_state(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Any,
        dtype: str | None = None,
    ) -> Any:
        """Adds a weight that the rule updates and that no gradient reaches.

        Its dtype is `state_dtype` by default, and it is never autocast.
        """
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=dtype or self.state_dtype,
            trainable=False,
            autocast=False,
        )

    @property
    def rates(self) -> dict[str, Any]:
        """The rates that the rule uses, after any decay, by name."""
        rates = {name: getattr(self, name) for name in self._rates}
        if not self.built:
            return rates
        # Not of variables: on torch such a product may be float32.
        factors = self.rate_factors.value
        for place, name in enumerate(self.decayable_rates()):
            rates[name] = self._rates[name].value * factors[place]
        return rates

    def decayable_rates(self) -> list[str]:
        """Names of the rates that were given as numbers, not as schedules."""
        return [
            name
            for name, rate in self._rates.items()
            if not isinstance(rate, schedules.LearningRateSchedule)
        ]

    def decay_rates(self, factors: dict[str, float]) -> None:
        """Sets factors by which the named rates are multiplied from now on;
        `{"learning_rate": 1.0}` ends the decay of that rate."""
        self._factors.update(factors)
        if self.built:
            self.rate_factors.assign(self._rate_factors((), None))

    def _rate_factors(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        names = self.decayable_rates()
        return np.array([self._factors.get(name, 1.0) for name in names])

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
        self._warn_about_images(input_shape)
        self.input_spec = keras.layers.InputSpec(
            min_ndim=2, axes={-1: input_shape[-1]}
        )
        self.build_state(input_shape[-1])
        expected = [*self.state_names, *self._rates]
        missing = [x for x in expected if getattr(self, x, None) is None]
        if missing:
            raise ValueError(
                f"Expected {type(self).__name__} to have all of {expected} "
                f"after `build_state`. Received: nothing for {missing}"
            )
        self.iterations = self.add_state(
            "iterations", (), "zeros", dtype="int32"
        )
        self.skipped = self.add_state("skipped", (), "zeros", dtype="int32")
        names = self.decayable_rates()
        for name in names:
            # `initializers.Constant` would round it to float32 on torch.
            constant = functools.partial(np.full, fill_value=self._rates[name])
            self._rates[name] = self.add_state(name, (), constant)
        # Among `variables`, not `weights`: a decay ends with its `fit`.
        self.rate_factors = self.add_state(
            "rate_factors", (len(names),), self._rate_factors
        )

    def _warn_about_images(self, input_shape: tuple[int | None, ...]) -> None:
        *_, before, last = input_shape
        grey = len(input_shape) == 3 and last in (1, before)
        if grey or (len(input_shape) > 3 and last in (1, 3)):
            warnings.warn(
                f"{self.name} learns from the last axis of its inputs, here "
                f"from vectors of length {last}, and treats all other axes of "
                f"{input_shape} as samples. If the inputs are images, put "
                "`keras.layers.Flatten()` before the layer",
                stacklevel=2,
            )

    def call(
        self,
        inputs: Tensor,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        inputs = ops.cast(inputs, self.state_dtype)
        for observe in self._observers:
            observe(inputs)
        learning = self._learns(training, mask)
        state = self._values_for(inputs, learning)
        response = self._for_rows(self.respond, inputs, state)
        if learning:
            self._learn(inputs, response, state)
        return self.activation(ops.cast(response, self.compute_dtype))

    def _learns(self, training: bool | None, mask: Tensor | None) -> bool:
        """Whether a call learns, which it refuses to do with masked steps."""
        learning = bool(training) and self.trainable
        if learning and mask is not None:
            raise ValueError(
                "Expected inputs without a mask in training: local layers "
                "learn from all steps of a sequence, also from masked ones. "
                "Leave these out of the data, or use `trainable=False`. "
                "Received: a mask, such as that of `Masking`"
            )
        return learning

    def update_state(
        self, inputs: Tensor, response: Tensor | None = None
    ) -> None:
        """Learns from a batch as in training, without computing outputs.

        For wrappers and training loops that need no outputs. A layer that is
        not `trainable` does not learn. On torch, call `backward()` first if a
        gradient passes through outputs of an earlier call: it needs the weights
        that these were computed with.

        Args:
            inputs: Tensor `(..., inputs)`.
            response: Output of `respond` for the inputs, `(..., units)`.
                Defaults to `None`: it is computed if the rule needs it.

        Raises:
            ValueError: If the layer has not been built, or if the last
                dimension of the inputs does not match.
        """
        inputs = ops.convert_to_tensor(inputs)
        self._check_inputs(inputs.shape)
        if self.trainable:
            # Rounded as in `call`, before which Keras casts floats.
            if keras.backend.is_float_dtype(inputs.dtype):
                inputs = ops.cast(inputs, self.compute_dtype)
            inputs = ops.cast(inputs, self.state_dtype)
            state = self._values()
            if response is None and self.needs_response:
                response = self.respond(self._samples(inputs), state)
            self._learn(inputs, response, state)

    def _check_built(self) -> None:
        if not self.built:
            raise ValueError(
                f"Expected {self.name} to be built, for example by a first "
                "call. Received: a layer without weights"
            )

    def _check_inputs(self, shape: tuple[int, ...]) -> None:
        self._check_built()
        expected = self.input_spec.axes[-1]
        if tuple(shape[-1:]) != (expected,):
            raise ValueError(
                f"Expected inputs of {self.name} with the last dimension "
                f"{expected}. Received: shape={tuple(shape)}"
            )

    def competition(self, inputs: Tensor) -> Tensor:
        """The drives for inputs, by which the units currently compete.

        Args:
            inputs: Tensor `(..., inputs)`.

        Returns:
            `drives` for the current state, `(..., units)`.

        Raises:
            ValueError: As in `update_state`.
        """
        inputs = ops.convert_to_tensor(inputs)
        self._check_inputs(inputs.shape)
        inputs = ops.cast(inputs, self.state_dtype)
        return self._for_rows(self.drives, inputs, self._values())

    @contextlib.contextmanager
    def observed(self, observe: Callable[[Tensor], None]) -> Iterator[None]:
        """Calls `observe` with the inputs of every call in the context."""
        self._observers.append(observe)
        try:
            yield
        finally:
            self._observers.remove(observe)

    def _values(self) -> dict[str, Tensor]:
        return {name: weight.value for name, weight in self.state.items()}

    def _values_for(self, inputs: Tensor, learning: bool) -> dict[str, Tensor]:
        """The state for outputs, which learning from the inputs may follow."""
        state = self._values()
        return before_assignment(inputs, state) if learning else state

    def _for_rows(
        self,
        compute: Callable[[Tensor, dict[str, Tensor]], Tensor],
        inputs: Tensor,
        state: dict[str, Tensor],
    ) -> Tensor:
        """`respond` or `drives` for inputs of any rank, as rows of one matrix.

        TensorFlow multiplies a tensor of more axes by a kernel as many small
        matrices, which takes several times as long on many CPUs.
        """
        if len(inputs.shape) == 2:
            return compute(inputs, state)
        computed = compute(self._rows(inputs), state)
        return ops.reshape(computed, (*ops.shape(inputs)[:-1], self.units))

    def _learn(
        self, inputs: Tensor, response: Tensor | None, state: dict[str, Tensor]
    ) -> None:
        inputs, response = (
            x if x is None else self._samples(x) for x in (inputs, response)
        )
        rates = {
            name: ops.cast(rate, self.state_dtype)
            for name, rate in self.rates.items()
        }
        learned = self.learn(inputs, response, state, rates)
        self._check_learned(learned, state)
        skip = self._skips(inputs, learned)
        learned = {name: learned[name] for name in state}
        kept = choose(skip, lambda: state, lambda: learned)
        for name, value in kept.items():
            getattr(self, name).assign(value)
        skipped = ops.cast(skip, "int32")
        self.iterations.assign(self.iterations.value + (1 - skipped))
        self.skipped.assign(self.skipped.value + skipped)

    def _check_learned(
        self, learned: dict[str, Tensor], state: dict[str, Tensor]
    ) -> None:
        """Rejects what cannot replace the state; JAX would broadcast it."""
        rule = f"`learn` of {type(self).__name__}"
        is_dict = isinstance(learned, dict)
        if not is_dict or not learned.keys() >= state.keys():
            raise ValueError(
                f"Expected {rule} to return a dict of {list(state)}. "
                f"Received: {list(learned) if is_dict else learned}"
            )
        for name, value in state.items():
            if shapes_differ(value, learned[name]):
                raise ValueError(
                    f"Expected {rule} to return {name} of shape "
                    f"{tuple(value.shape)}. Received: {name} of shape "
                    f"{tuple(np.shape(learned[name]))}"
                )

    def _skips(self, inputs: Tensor, learned: dict[str, Tensor]) -> Tensor:
        """Whether the batch of all replicas is empty, or its update unsound."""
        unsound = ops.logical_not(self.sound(inputs, learned))
        if replica_count() == 1 and inputs.shape[0]:
            return unsound
        unsound = ops.cast(unsound, "int32")
        samples = ops.convert_to_tensor(ops.shape(inputs)[0], "int32")
        unsound, samples = sum_over_replicas((unsound, samples))
        return ops.logical_or(unsound > 0, samples == 0)

    def _samples(self, values: Tensor) -> Tensor:
        """The rows to learn from, without a gradient."""
        return self._rows(ops.stop_gradient(values))

    @staticmethod
    def _rows(values: Tensor) -> Tensor:
        if len(values.shape) == 2:
            return values
        return ops.reshape(values, (-1, ops.shape(values)[-1]))

    @property
    def expects(self) -> str:
        """Description of valid inputs, for messages."""
        if self.non_negative_inputs:
            return "finite, non-negative inputs"
        return "finite inputs"

    @property
    def state(self) -> dict[str, Any]:
        """The weights that the rule updates, by name."""
        return {name: getattr(self, name) for name in self.state_names}

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    @property
    def weights(self) -> list[Any]:
        """The weights, without the factors of a decay."""
        return [x for x in super().weights if x is not self.rate_factors]

    def save_own_variables(self, store: Any) -> None:
        for place, weight in enumerate(self.weights):
            store[str(place)] = ops.convert_to_numpy(weight)

    def load_own_variables(self, store: Any) -> None:
        weights = self.weights
        if len(store.keys()) != len(weights):
            raise ValueError(
                f"Expected {len(weights)} weights for {self.name}, which must "
                f"be built. Received: a file with {len(store.keys())}"
            )
        for place, weight in enumerate(weights):
            weight.assign(store[str(place)])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            **{name: self._given(name) for name in self._rates},
        }

    def _given(self, name: str) -> Any:
        rate = self._rates[name]
        if isinstance(rate, schedules.LearningRateSchedule):
            return schedules.serialize(rate)
        if not self.built:
            return rate
        # The shortest number that rounds to the weight: 0.02, not 0.01999999955
        return float(str(ops.convert_to_numpy(rate)))
