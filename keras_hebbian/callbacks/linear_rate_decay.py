"""Annealing of the rates over one `fit`."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_hebbian.layers.local_learning import collect, local_layers


class LinearRateDecay(keras.callbacks.Callback):
    """Anneals the rates of every local layer linearly over this `fit`.

    In epoch `e` of `epochs`, both counted from 0 as in `fit`, a rate is

    ```
    rate = initial * (1 + (final - 1) * e / epochs)
    ```

    where `initial` is the rate as it was given to the layer, in its
    constructor or by assignment (`layer.learning_rate = 0.1`). It depends on
    nothing else, so `initial_epoch` and a resumed training continue on the
    same line, and a second `fit` starts at the top again. Rates that are
    schedules are left alone. The logs carry the rates of each epoch.

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
    >>> np.round(history.history["learning_rate"], 3).tolist()
    [0.1, 0.075, 0.05, 0.025]

    Args:
        final: Float in [0, 1], the rate after the last epoch as a fraction of
            the initial rate. Defaults to `0.0`, as in all experiments of the
            paper.
        rates: Names of the rates to anneal, such as `["learning_rate",
            "threshold_rate"]`. Defaults to `None`, all of every layer.

    Raises:
        ValueError: If `final` is not in [0, 1], or at the start of the
            training if no local layer has such a rate to anneal.

    Reference:
        Krotov and Hopfield, PNAS 116(16):7723, 2019.
    """

    def __init__(
        self, final: float = 0.0, rates: Iterable[str] | None = None
    ) -> None:
        super().__init__()
        if not 0 <= final <= 1:
            raise ValueError(
                "Expected `final` between 0 and 1, a fraction of the initial "
                f"rate. Received: final={final}"
            )
        self.final = final
        self.names = None if rates is None else list(rates)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        known = {
            name
            for layer in local_layers(self.model)
            for name in layer.given_rates
        }
        if not known.issuperset(self.names or []) or not known:
            raise ValueError(
                f"Expected a model whose local layers have {self.names or 'a'}"
                " rate given as a number. Received: a model with the rates "
                f"{sorted(known)}"
            )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        factor = 1 + (self.final - 1) * epoch / self.params["epochs"]
        for layer in local_layers(self.model):
            names = layer.given_rates.keys()
            if self.names is not None:
                names &= set(self.names)
            layer.scale_rates(dict.fromkeys(names, factor))

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if logs is not None:
            rates = collect(local_layers(self.model), lambda x: x.rates)
            logs.update(
                {
                    name: float(keras.ops.convert_to_numpy(rate))
                    for name, rate in rates.items()
                }
            )
