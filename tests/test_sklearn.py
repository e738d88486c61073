import functools
import pickle
import runpy
import sys

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import keras_hebbian as kh
from oja import Oja

SAMPLES = np.random.default_rng(0).random((40, 6), dtype="float32")


def competing(**given):
    """Small, and the same in every run."""
    settings = {"units": 4, "epochs": 2, "batch_size": 10, "random_state": 0}
    return kh.SKLearnTransformer(
        **{
            "model": kh.HebbianCompetitive,
            **settings,
            "shuffle": False,
            **given,
        }
    )


def convolution(units=5, **loss):
    model = keras.Sequential(
        [
            keras.layers.Reshape((2, 3)),
            kh.Convolution(kh.SoftHebb(units), kernel_size=1),
            kh.Triangle(),
        ]
    )
    if loss:
        model.compile(**loss)
    return model


def kernel_of(transformer):
    return transformer.model_.layers[0].get_weights()[0]


@keras.saving.register_keras_serializable("tests")  # to be pickled
class NonNegative(Oja):
    non_negative_inputs = True


@pytest.mark.slow
def test_scikit_learn_finds_no_fault(monkeypatch):
    """All checks that are not skipped pass; none is expected to fail."""
    eager = functools.partialmethod(
        kh.HebbianSequential.compile, run_eagerly=True
    )  # a compiled step for each of some fifty fits would take a minute
    monkeypatch.setattr(kh.HebbianSequential, "compile", eager)
    estimator = kh.SKLearnTransformer(
        NonNegative, epochs=1, random_state=0, units=2, learning_rate=1e-5
    )
    results = check_estimator(estimator, on_skip=None)
    passed = [x["check_name"] for x in results if x["status"] == "passed"]
    assert len(passed) >= 40


def test_the_features_are_the_outputs_of_the_layer():
    fitted = competing().fit(SAMPLES, ["labels", "are", "ignored"])
    assert kernel_of(fitted).shape == (6, 4)
    np.testing.assert_allclose(
        fitted.transform(SAMPLES), SAMPLES @ kernel_of(fitted), rtol=1e-5
    )
    assert isinstance(fitted.model_, kh.HebbianSequential)
    assert fitted.history_["norm_distance"][-1] < 1
    assert fitted.n_iter_ == 2


def test_more_axes_are_flattened():
    fitted = kh.SKLearnTransformer(convolution, units=3, epochs=1).fit(SAMPLES)
    maps = fitted.model_.predict(SAMPLES, verbose=0)
    assert maps.shape == (40, 2, 3)
    np.testing.assert_array_equal(
        fitted.transform(SAMPLES), maps.reshape(40, 6)
    )
    names = fitted.get_feature_names_out()
    assert list(names) == [f"sklearntransformer{place}" for place in range(6)]


def test_a_search_over_units_and_rates(digits, digit_labels):
    features = competing(epochs=5, batch_size=20)
    pipeline = make_pipeline(features, StandardScaler(), LogisticRegression())
    grid = [
        {"sklearntransformer__units": [2]},
        {
            "sklearntransformer__units": [30],
            "sklearntransformer__learning_rate": [0.05],
        },
    ]
    images, labels = digits[:400], digit_labels[:400]
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(images, labels)
    transformer = search.best_estimator_[0]
    layer = transformer.model_.layers[0]
    assert layer.units == 30  # two cannot tell ten classes apart
    assert float(layer.learning_rate) == pytest.approx(0.05)
    assert search.score(digits[400:], digit_labels[400:]) > 0.8  # chance: 0.1
    assert len(search.best_estimator_[:-1].get_feature_names_out()) == 30


def test_passes_add_up_to_a_fit():
    fitted = competing(callbacks=[]).fit(SAMPLES)
    passes = competing(callbacks=[])
    for _ in range(2):
        passes.partial_fit(SAMPLES)
    assert passes.n_iter_ == 2
    np.testing.assert_array_equal(kernel_of(passes), kernel_of(fitted))
    parts = competing(callbacks=[], epochs=1)
    for part in (SAMPLES[:10], SAMPLES[10:], SAMPLES):
        parts.partial_fit(part)
    np.testing.assert_array_equal(kernel_of(parts), kernel_of(fitted))


def test_a_pass_goes_on_with_the_decay():
    def rate(transformer):
        return transformer.history_["local_learning_rate"]

    passes = competing(learning_rate=0.6)
    rates = [rate(passes.partial_fit(SAMPLES)) for _ in range(4)]
    np.testing.assert_allclose(rates, [[0.6], [0.3], [0.2], [0.15]], rtol=1e-6)
    fitted = competing(learning_rate=0.6).fit(SAMPLES)
    np.testing.assert_allclose(rate(fitted), [0.6, 0.3], rtol=1e-6)
    before = kernel_of(fitted)
    np.testing.assert_allclose(rate(fitted.partial_fit(SAMPLES)), [0.2], 1e-6)
    assert np.abs(kernel_of(fitted) - before).max() > 0
    assert rate(fitted.fit(SAMPLES))[0] == pytest.approx(0.6)
    assert fitted.n_iter_ == 2


def test_other_arguments_of_the_layer_need_a_new_fit():
    passes = competing(learning_rate=0.6, callbacks=[]).partial_fit(SAMPLES)
    passes.set_params(learning_rate=0.6, batch_size=20).partial_fit(SAMPLES)
    before = kernel_of(passes)
    sizes = [np.ones(3), np.ones(2), np.nan]
    free = kh.SKLearnTransformer(lambda sizes: kh.SoftHebb(4), sizes=sizes)
    free.partial_fit(SAMPLES).partial_fit(SAMPLES)
    for given in ({"learning_rate": 0.5}, {"model": kh.SoftHebb}):
        changed = clone(passes).partial_fit(SAMPLES).set_params(**given)
        with pytest.raises(ValueError, match=r"Expected .*Received: new"):
            changed.partial_fit(SAMPLES)
    passes.model_.layers[0].learning_rate = 0
    passes.partial_fit(SAMPLES)
    np.testing.assert_allclose(kernel_of(passes), before, rtol=1e-6)
    passes.set_params(units=5).fit(SAMPLES).partial_fit(SAMPLES)
    assert kernel_of(passes).shape == (6, 5)


@pytest.mark.parametrize("kind", [kh.HebbianCompetitive, kh.SoftHebb])
def test_schedules_need_no_decay(kind):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.6, 2, 0.5)
    fitted = competing(model=kind, learning_rate=schedule).fit(SAMPLES)
    assert "local_learning_rate" not in fitted.history_
    assert fitted.n_iter_ == 2


class FirstEpochOnly(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def test_callbacks_are_copied_and_may_end_a_fit():
    callback = FirstEpochOnly()
    assert competing(callbacks=[callback]).fit(SAMPLES).n_iter_ == 1
    assert callback.model is None


def test_a_file_goes_on_learning():
    fitted = competing().fit(SAMPLES)
    loaded = pickle.loads(pickle.dumps(fitted))
    for each in (fitted, loaded):
        each.partial_fit(SAMPLES)
    assert loaded.n_iter_ == 3
    np.testing.assert_allclose(
        loaded.transform(SAMPLES), fitted.transform(SAMPLES), rtol=1e-6
    )


@pytest.mark.parametrize(
    "make", [competing, lambda: kh.SKLearnTransformer(convolution())]
)
def test_a_clone_has_the_arguments_alone(make):
    fitted = make().set_params(epochs=1).fit(SAMPLES)
    copied = clone(fitted)
    assert copied.get_params().keys() == fitted.get_params().keys()
    assert copied.epochs == 1
    with pytest.raises(NotFittedError):
        copied.transform(SAMPLES)
    before = fitted.model_.get_weights()
    copied.fit(SAMPLES)
    for mine, its in zip(fitted.model_.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_every_fit_makes_a_new_layer_from_the_seed_and_a_given_one():
    given = kh.HebbianCompetitive(4)
    transformer = kh.SKLearnTransformer(given, epochs=1, random_state=3)
    kernels = [kernel_of(transformer.fit(SAMPLES)) for _ in range(2)]
    np.testing.assert_array_equal(*kernels)
    assert not given.built
    other = transformer.set_params(random_state=4).fit(SAMPLES)
    assert np.abs(kernel_of(other) - kernels[0]).max() > 0.01


def test_features_are_floats_under_every_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features = competing().fit_transform(SAMPLES)
    finally:
        keras.config.set_dtype_policy("float32")
    assert features.dtype == "float32"


def test_arguments_of_the_layer_are_parameters():
    given = competing(units=3, name="features")
    assert given.get_params()["units"] == 3
    given.set_params(units=5, epochs=1, learning_rate=0.5)
    assert given.epochs == 1
    layer = given.fit(SAMPLES).model_.layers[0]
    assert (layer.units, layer.name) == (5, "features")
    assert float(layer.learning_rate) == 0.5


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 2.5}, r"batch_size=2\.5"),
        ({"units": 1}, "units=1"),
        ({"model": "HebbianCompetitive"}, "'HebbianCompetitive'"),
        ({"model": kh.SoftHebb(4)}, "SoftHebb"),  # and units
        ({"model": lambda units: [kh.SoftHebb(units)]}, "SoftHebb"),
        ({"model": keras.layers.Dense}, "Dense"),
        ({"model": convolution, "loss": "mse"}, "loss='mse'"),
    ],
)
def test_bad_arguments(given, received):
    transformer = competing().set_params(**given)
    expected = f"(?s)Expected .*Received: .*{received}"
    with pytest.raises(ValueError, match=expected):
        transformer.fit(SAMPLES)
    with pytest.raises(NotFittedError):
        transformer.transform(SAMPLES)


def two_outputs():
    inputs = keras.Input((6,))
    units = kh.HebbianCompetitive(4)(inputs)
    return keras.Model(inputs, [units, kh.Triangle()(units)])


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (two_outputs, "2 outputs"),
        (functools.partial(convolution, loss="mse"), "loss='mse'"),
    ],
)
def test_bad_models(make, received):
    for model in (make, make()):
        with pytest.raises(ValueError, match=f"Expected .*{received}"):
            kh.SKLearnTransformer(model, epochs=1).fit(SAMPLES)


def test_bad_samples():
    fitted = competing().fit(SAMPLES)
    empty, broken = SAMPLES[:0], np.full_like(SAMPLES, np.nan)
    for samples in (SAMPLES[0], SAMPLES[None], empty, broken):
        with pytest.raises(ValueError, match=r"Expected|Found|contains NaN"):
            competing().fit(samples)
    for method in (fitted.transform, fitted.partial_fit):
        with pytest.raises(ValueError, match="5 features"):
            method(SAMPLES[:, :5])
    sparse = competing().set_params(model=kh.LateralInhibitionSparse)
    with pytest.raises(ValueError, match="Negative values"):
        sparse.fit(-SAMPLES)
    assert np.isfinite(sparse.fit(SAMPLES).transform(-SAMPLES)).all()


def test_without_scikit_learn_only_the_transformer_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    names = runpy.run_path(kh.SKLearnTransformer.__init__.__code__.co_filename)
    with pytest.raises(ImportError, match="pip install 'scikit-learn"):
        names["SKLearnTransformer"](kh.HebbianCompetitive, units=4)


def test_a_generator_gives_the_seed():
    kernels = [
        kernel_of(
            competing(random_state=np.random.RandomState(seed)).fit(SAMPLES)
        )
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0
