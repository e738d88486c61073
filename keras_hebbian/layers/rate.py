"""Rates of local rules, which can be assigned, scheduled, decayed and saved."""

from typing import Any

from keras.optimizers import schedules

from keras_hebbian._arguments import check_positive, check_real


class Rate:
    """A rate of a local rule, declared in the class body of a layer.

    A number becomes a scalar weight of the layer when the layer is built: it
    can be read and assigned at any time, and is saved with the layer. A
    `LearningRateSchedule` is evaluated at the layer's own `iterations` and
    cannot be assigned.

    `LinearRateDecay` does not change the number: it multiplies the rate that
    the rule uses by a factor during `fit`.

    Example:

    >>> import keras_hebbian as kh
    >>> class Units(kh.LocalLearningLayer):
    ...     learning_rate = kh.Rate()
    ...
    ...     def __init__(self, units, learning_rate=0.1):
    ...         super().__init__(units)
    ...         self.learning_rate = learning_rate
    >>> Units(4, learning_rate=0.5).rates
    {'learning_rate': 0.5}

    Args:
        decays: Whether `LinearRateDecay()` decays this rate by default. Use
            `False` for a number that is not a step size, such as a temperature.
            Defaults to `True`.
        optional: Whether the rate may be given as `None`; the layer then
            assigns a number when it is built. Defaults to `False`.
        positive: Whether the rate must not be 0, such as a number that a rule
            divides by. Defaults to `False`.

    Raises:
        ValueError: If an assigned rate is not a finite number >= 0, or is 0 and
            must be positive.
        TypeError: If a rate is assigned after it was given as a schedule.
    """

    def __init__(
        self,
        decays: bool = True,
        optional: bool = False,
        positive: bool = False,
    ) -> None:
        self.decays = decays
        self.optional = optional
        self.positive = positive

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        if layer is None:
            return self
        if self.name not in layer._rates:
            raise AttributeError(f"`{self.name}` has not been given yet")
        rate = layer._rates[self.name]
        if isinstance(rate, schedules.LearningRateSchedule):
            return rate(0 if layer.iterations is None else layer.iterations)
        return rate

    def __set__(self, layer: Any, value: Any) -> None:
        rate = layer._rates.get(self.name)
        if isinstance(rate, schedules.LearningRateSchedule):
            raise TypeError(
                f"Expected `{self.name}` to have been given as a number: a "
                f"`LearningRateSchedule` cannot be replaced. Received: {value}"
            )
        if rate is None and isinstance(value, dict) and "class_name" in value:
            value = schedules.deserialize(value)
        unknown = self.optional and rate is None and value is None
        scheduled = rate is None and isinstance(
            value, schedules.LearningRateSchedule
        )
        if not (unknown or scheduled):
            if self.positive:
                value = check_positive(self.name, value)
            else:
                value = check_real(self.name, value, minimum=0)
        if layer.built and rate is not None:
            rate.assign(value)
        else:
            layer._rates[self.name] = value
