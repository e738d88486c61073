"""Rates of local rules: assignable, scheduled, saved."""

from typing import Any

from keras.optimizers import schedules

from keras_hebbian._arguments import check_real


class Rate:
    """A rate of a local rule, declared in the class body of a layer.

    A number becomes a scalar weight of the layer when the layer is built: it
    can be read and assigned while the layer learns, and is saved with it. A
    `LearningRateSchedule` is evaluated at the layer's own `iterations` and
    cannot be assigned.
    """

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
        if rate is None:
            layer._rates[self.name] = self._checked(value)
            layer._given_rates[self.name] = layer._rates[self.name]
            return
        if isinstance(rate, schedules.LearningRateSchedule):
            raise TypeError(
                f"Expected `{self.name}` to have been given as a number: a "
                f"`LearningRateSchedule` cannot be assigned. Received: {value}"
            )
        layer._given_rates[self.name] = check_real(self.name, value, minimum=0)
        layer.scale_rates({self.name: 1.0})

    def _checked(self, value: Any) -> Any:
        if isinstance(value, dict):
            value = schedules.deserialize(value)
        if isinstance(value, schedules.LearningRateSchedule):
            return value
        return check_real(self.name, value, minimum=0)
