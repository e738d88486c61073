"""Local layers in scikit-learn pipelines and searches."""

import copy
import math
from typing import Any

import keras
import numpy as np

from keras_hebbian._arguments import check_integer
from keras_hebbian.callbacks.linear_rate_decay import LinearRateDecay
from keras_hebbian.layers.local_layers import local_layers
from keras_hebbian.models import HebbianSequential

try:
    from sklearn import base
    from sklearn.utils.validation import (
        check_is_fitted,
        check_random_state,
        validate_data,
    )

    _BASES: tuple[Any, ...] = (
        base.ClassNamePrefixFeaturesOutMixin,
        base.TransformerMixin,
        base.BaseEstimator,
    )
except ImportError:  # raised again by the constructor
    _BASES = ()


def _same(one: Any, other: Any) -> bool:
    """Whether two arguments are the same object, or equal numbers or words."""
    return one is other or (
        np.isscalar(one) and np.isscalar(other) and one == other
    )


class SKLearnTransformer(*_BASES):  # type: ignore[misc]  # as installed
    """A scikit-learn transformer whose features are learned by a local layer.

    `fit` learns from the rows of `X`, without labels, and `transform` returns
    the outputs of the layer. It works wherever a scikit-learn transformer does,
    such as in a `Pipeline` or a `GridSearchCV`, which sets the arguments of the
    layer by name.

    Every `fit` creates a new layer and makes `epochs` passes over the samples,
    in which by default all rates decay to 0. `partial_fit` makes one more pass
    with the same layer. Callbacks see the n-th pass as epoch n of `epochs`, so
    the decay continues where it stopped. After the last of `epochs`, rates
    decay as `initial / n` instead of reaching 0.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> pipeline = make_pipeline(
    ...     MinMaxScaler(),
    ...     kh.SKLearnTransformer(kh.HebbianCompetitive, units=4, epochs=2),
    ... )
    >>> pipeline.fit_transform(np.random.rand(20, 6)).shape
    (20, 4)
    >>> pipeline = pipeline.set_params(sklearntransformer__units=5)
    >>> pipeline.fit_transform(np.random.rand(20, 6)).shape
    (20, 5)

    Args:
        model: Layer class, or function that returns a layer or an uncompiled
            model, called with `**kwargs`. Or a layer or model, from whose
            configuration every `fit` creates a new one. Its inputs are the rows
            of `X`.
        epochs: Integer >= 1, number of passes of `fit` over the samples.
            Defaults to `20`.
        batch_size: Integer >= 1, number of samples per step. Defaults to `32`.
        shuffle: Whether to shuffle the samples before each pass. Defaults to
            `True`.
        callbacks: List of `keras.callbacks.Callback`, copied for every `fit`
            and `partial_fit`. Defaults to `None`, which is
            `[LinearRateDecay()]`, or none if no rate would decay, as in a
            single pass.
        verbose: Verbosity mode, as in `keras.Model.fit`. Defaults to `0`.
        random_state: Integer, or a `numpy.random.RandomState` to draw one from:
            the seed that `keras.utils.set_random_seed` is called with whenever
            a new layer is created. Defaults to `None`, which leaves all random
            generators unchanged.
        **kwargs: Arguments of `model`, such as `units`, which `get_params` and
            `set_params` include.

    Attributes:
        model_: The fitted `HebbianSequential`.
        history_: Dict of the logs of the latest `fit` or `partial_fit`.
        n_iter_: Integer, number of passes so far.
        n_features_in_: Integer, number of columns of `X`.
        feature_names_in_: Names of the columns, if `X` has names.

    Raises:
        ImportError: If scikit-learn 1.6 or later is not installed.
        ValueError: In `fit`, if an argument is out of range, if `model` neither
            is nor returns a layer or a model without a loss and with one
            output, or if `X` is not a 2-D array of finite numbers; in
            `transform` and `partial_fit`, if `X` has a different number of
            columns; in `partial_fit`, if arguments of `model` have changed.
    """

    def __init__(
        self,
        model: Any,
        epochs: int = 20,
        batch_size: int = 32,
        shuffle: bool = True,
        callbacks: list[keras.callbacks.Callback] | None = None,
        verbose: int = 0,
        random_state: Any = None,
        **kwargs: Any,
    ) -> None:
        if not _BASES:
            raise ImportError(
                "Expected scikit-learn 1.6 or later: "
                "`pip install 'scikit-learn>=1.6'`. Received: an older "
                "version, or none"
            )
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self._arguments = kwargs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the arguments of the transformer and of `model`."""
        return {**super().get_params(deep), **self._arguments}

    def set_params(self, **params: Any) -> "SKLearnTransformer":
        """Sets arguments of the transformer; any others are for `model`."""
        own = self._get_param_names()
        super().set_params(**{x: params[x] for x in params if x in own})
        others = {x: params[x] for x in params if x not in own}
        self._arguments = {**self._arguments, **others}
        return self

    def fit(self, X: Any, y: Any = None) -> "SKLearnTransformer":
        """Creates a new layer, which learns from `X` in `epochs` passes.

        Args:
            X: Array `(samples, inputs)`.
            y: Ignored.

        Returns:
            The transformer itself.
        """
        X = self._samples(X, reset=True)
        self._build(X.shape[1])
        return self._learn(X, self.epochs)

    def partial_fit(self, X: Any, y: Any = None) -> "SKLearnTransformer":
        """Learns from `X` in one more pass, at first with a new layer.

        Args:
            X: Array `(samples, inputs)`, with any number of samples.
            y: Ignored.

        Returns:
            The transformer itself.
        """
        first = not hasattr(self, "model_")
        X = self._samples(X, reset=first)
        if first:
            self._build(X.shape[1])
        else:
            self._check_unchanged()
        stop = keras.callbacks.LambdaCallback(on_epoch_end=self._stop)
        return self._learn(X, max(self.epochs, self.n_iter_ + 1), stop)

    def transform(self, X: Any) -> np.ndarray:
        """Returns the outputs of the layer.

        Args:
            X: Array `(samples, inputs)`.

        Returns:
            Array `(samples, outputs)`; outputs with more axes, such as those of
            a convolution, are flattened.
        """
        check_is_fitted(self, "model_")
        X = validate_data(self, X, dtype=keras.config.floatx(), reset=False)
        size = max(self.batch_size, 32)  # one by one would take long
        outputs = self.model_.predict(X, size, verbose=0)
        outputs = outputs.reshape(len(outputs), -1)
        return outputs.astype(keras.config.floatx(), copy=False)

    def _samples(self, X: Any, reset: bool) -> np.ndarray:
        """Validates samples and returns them as an array of floats."""
        return validate_data(
            self,
            X,
            dtype=keras.config.floatx(),
            ensure_non_negative=self._non_negative,
            reset=reset,
        )

    def _build(self, inputs: int) -> None:
        """Creates a new layer in a model."""
        for name in ("epochs", "batch_size"):
            check_integer(name, getattr(self, name), minimum=1)
        if self.random_state is not None:
            generator = check_random_state(self.random_state)
            keras.utils.set_random_seed(generator.randint(2**31))
        model = HebbianSequential([keras.Input((inputs,)), self._make()])
        if not local_layers(model):
            raise ValueError(
                "Expected `model` to have a local layer. "
                f"Received: model={self.model!r}"
            )
        if len(model.outputs) != 1:
            raise ValueError(
                "Expected `model` to have one output. "
                f"Received: a model with {len(model.outputs)} outputs"
            )
        model.compile()
        self.model_ = model
        self.n_iter_ = 0
        self._built_from = {"model": self.model, **self._arguments}

    def _check_unchanged(self) -> None:
        """Rejects new arguments for a layer that exists."""
        given = {"model": self.model, **self._arguments}
        changed = [
            name
            for name in given.keys() | self._built_from.keys()
            if not _same(given.get(name), self._built_from.get(name))
        ]
        if changed:
            raise ValueError(
                "Expected the arguments that the layer was created with. Call "
                "`fit` to create a new one, or assign a rate to the layer in "
                f"`model_.layers`. Received: new values of {sorted(changed)}"
            )

    def _make(self) -> keras.Layer:
        model = self.model
        loss = getattr(model, "loss", None)
        if isinstance(model, keras.Layer) and not self._arguments:
            model = type(model).from_config(model.get_config())
        elif callable(model) and not isinstance(model, keras.Layer):
            model = model(**self._arguments)
            loss = getattr(model, "loss", None)
        else:
            raise ValueError(
                "Expected `model` to be a layer class or a function if "
                f"arguments are given for it, {sorted(self._arguments)}, "
                f"otherwise also a layer or model. Received: model={model!r}"
            )
        if not isinstance(model, keras.Layer) or loss is not None:
            raise ValueError(
                "Expected `model` to be or return a layer, or a model that was "
                "not compiled with a loss, because there are no labels. "
                f"Received: {model!r} with loss={loss!r}"
            )
        return model

    def _learn(
        self, X: np.ndarray, epochs: int, *callbacks: keras.callbacks.Callback
    ) -> "SKLearnTransformer":
        given = self.callbacks
        if given is None:
            decay = LinearRateDecay()
            decays = any(map(decay.names_in, local_layers(self.model_)))
            given = [decay] if decays and epochs > 1 else []
        history = self.model_.fit(
            X,
            batch_size=self.batch_size,
            epochs=epochs,
            initial_epoch=self.n_iter_,
            shuffle=self.shuffle,
            callbacks=[*copy.deepcopy(given), *callbacks],
            verbose=self.verbose,
        )
        self.n_iter_ += len(history.epoch)
        self.history_ = history.history
        return self

    def _stop(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model_.stop_training = True

    @property
    def _non_negative(self) -> bool:
        return getattr(self.model, "non_negative_inputs", False)

    @property
    def _n_features_out(self) -> int:
        """For `get_feature_names_out` of scikit-learn."""
        return math.prod(self.model_.output_shape[1:])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        tags.input_tags.positive_only = self._non_negative
        tags.transformer_tags.preserves_dtype = []
        return tags
