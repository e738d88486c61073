"""Linear decay of the rates over one `fit`."""

import warnings
from collections.abc import Iterable
from types import NoneType
from typing import Any

import keras

from keras_hebbian._arguments import check_real
from keras_hebbian.layers.local_layers import collect, local_layers
from keras_hebbian.layers.local_learning import LocalLearningLayer


class LinearRateDecay(keras.callbacks.Callback):
    """Decays the rates of every local layer linearly over this `fit`.

    In epoch `e` of `epochs`, counted from 0 as in `fit`, the rule uses

    ```
    rate = initial * (1 + (final - 1) * e / epochs)
    ```

    where `initial` is the rate of the layer, from its constructor, its file or
    an assignment (`layer.learning_rate = 0.1`). It depends on nothing else, so
    `initial_epoch` and a resumed training run continue the same decay. The rate
    of the layer itself does not change: the decay ends with `fit`, and a second
    `fit` starts from the initial rate again. An exception or Ctrl-C also ends
    the decay in a `HebbianSequential` or `HebbianModel`; in other models, it
    ends when the next `fit` with this callback begins.

    In a `fit` of one epoch nothing decays, and rates given as schedules are not
    changed. A warning says if the callback has no effect. The logs contain the
    current rates of all local layers: `learning_rate` as `local_learning_rate`,
    because Keras logs the optimizer's under the shorter name, all others under
    their own names.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> layer = kh.HebbianCompetitive(4, learning_rate=0.1)
    >>> model = kh.HebbianSequential([layer])
    >>> model.compile()
    >>> history = model.fit(
    ...     np.random.rand(20, 6),
    ...     epochs=4,
    ...     callbacks=[kh.LinearRateDecay()],
    ...     verbose=0,
    ... )
    >>> np.round(history.history["local_learning_rate"], 3).tolist()
    [0.1, 0.075, 0.05, 0.025]

    Args:
        final: Float in [0, 1], the rate after the last epoch as a fraction of
            the initial rate. Defaults to `0.0`, as in all experiments of the
            paper.
        rates: Names of the rates to decay, such as `["learning_rate",
            "threshold_rate"]`. Defaults to `None`, all rates of every layer
            except those declared with `Rate(decays=False)`.

    Raises:
        ValueError: If `final` is not in [0, 1], or at the start of training, if
            no local layer has such a rate.

    Reference:
        Krotov and Hopfield, "Unsupervised learning by competing hidden units",
        PNAS 116(16):7723, 2019, https://doi.org/10.1073/pnas.1820458116.
    """

    def __init__(
        self, final: float = 0.0, rates: Iterable[str] | None = None
    ) -> None:
        super().__init__()
        self.final = check_real("final", final, minimum=0)
        if self.final > 1:
            raise ValueError(
                "Expected `final` between 0 and 1, a fraction of the initial "
                f"rate. Received: final={final}"
            )
        if isinstance(rates, str) or not isinstance(rates, Iterable | NoneType):
            raise ValueError(
                "Expected `rates` to be a list of names, or `None`. "
                f"Received: rates={rates!r}"
            )
        self.names = None if rates is None else list(rates)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        layers = local_layers(self.model)
        known = {name for layer in layers for name in layer.decayable_rates()}
        if not layers or not known.issuperset(self.names or []):
            raise ValueError(
                f"Expected a model whose local layers have {self.names or 'a'}"
                " rate given as a number. Received: a model with the rates "
                f"{sorted(known)}"
            )
        if not any(self.names_in(layer) for layer in layers):
            warnings.warn(
                "LinearRateDecay has no effect: the rates of "
                f"{', '.join(layer.name for layer in layers)} were given as "
                "schedules, or do not decay by default. Leave the callback "
                "out, or give the rates as numbers",
                stacklevel=2,
            )
        elif self.params["epochs"] == 1 and self.final < 1:
            warnings.warn(
                "LinearRateDecay has no effect in a `fit` of one epoch: rates "
                "decay from one epoch to the next. Use more epochs, of fewer "
                "steps each (`steps_per_epoch`), or give the rates as "
                "schedules",
                stacklevel=2,
            )
        for layer in layers:  # also after a fit that was interrupted
            layer.decay_rates(dict.fromkeys(layer.decayable_rates(), 1.0))

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._decay(1 + (self.final - 1) * epoch / self.params["epochs"])

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if logs is not None:
            rates = collect(local_layers(self.model), _logged_rates)
            logs.update(rates)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._decay(1.0)

    def _decay(self, factor: float) -> None:
        for layer in local_layers(self.model):
            layer.decay_rates(dict.fromkeys(self.names_in(layer), factor))

    def names_in(self, layer: LocalLearningLayer) -> list[str]:
        """The names of the rates of a layer that the callback decays."""
        return [
            name
            for name in layer.decayable_rates()
            if (
                getattr(type(layer), name).decays
                if self.names is None
                else name in self.names
            )
        ]


def _logged_rates(layer: LocalLearningLayer) -> dict[str, float]:
    return {
        f"local_{name}" if name == "learning_rate" else name: float(
            keras.ops.convert_to_numpy(rate)
        )
        for name, rate in layer.rates.items()
    }
