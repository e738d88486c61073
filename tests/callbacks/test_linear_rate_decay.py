import keras
import numpy as np
import pytest

import keras_hebbian as kh

IMAGES = np.random.default_rng(0).random((40, 6), dtype="float32")


def model_with(kind=kh.HebbianSequential, **arguments):
    layer = kh.HebbianCompetitive(
        4, **{"learning_rate": 0.8, "name": "units", **arguments}
    )
    model = kind([keras.Input((6,)), layer])
    model.compile()
    return model


def rates(model, **arguments):
    arguments = {"callbacks": [kh.LinearRateDecay()], **arguments}
    history = model.fit(IMAGES, verbose=0, **arguments).history
    return history["local_learning_rate"]


def test_follows_the_line_of_the_paper():
    # eps0 * (1 - nep / Nep)
    model = model_with()
    expected = [0.8, 0.6, 0.4, 0.2]
    np.testing.assert_allclose(rates(model, epochs=4), expected, rtol=1e-6)
    # The decay ends with the fit: a second one starts at the top of its own
    # line, and one without decay learns at the full rate.
    assert float(model.layers[0].learning_rate) == pytest.approx(0.8)
    assert float(model.layers[0].rates["learning_rate"]) == pytest.approx(0.8)
    np.testing.assert_allclose(rates(model, epochs=2), [0.8, 0.4], rtol=1e-6)


def test_a_model_that_fit_builds():
    model = kh.HebbianSequential([kh.HebbianCompetitive(4, learning_rate=0.8)])
    model.compile()
    observed = rates(model, epochs=4, initial_epoch=2)
    np.testing.assert_allclose(observed, [0.4, 0.2], rtol=1e-6)


def test_ends_at_a_fraction_of_the_initial_rate():
    observed = rates(
        model_with(), epochs=4, callbacks=[kh.LinearRateDecay(final=0.5)]
    )
    np.testing.assert_allclose(observed, [0.8, 0.7, 0.6, 0.5], rtol=1e-6)


def test_initial_epoch_continues_on_the_same_line():
    observed = rates(model_with(), epochs=4, initial_epoch=2)
    np.testing.assert_allclose(observed, [0.4, 0.2], rtol=1e-6)


def test_a_loaded_model_continues_on_the_same_line(tmp_path):
    model = model_with()
    model.fit(IMAGES, epochs=4, callbacks=[kh.LinearRateDecay(), StopAfter(1)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    observed = rates(loaded, epochs=4, initial_epoch=2)
    np.testing.assert_allclose(observed, [0.4, 0.2], rtol=1e-6)


class StopAfter(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.epoch


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_training_resumes_where_it_was(tmp_path):
    def fit(model, *callbacks):
        model.fit(
            IMAGES,
            epochs=4,
            shuffle=False,
            callbacks=[*callbacks, kh.LinearRateDecay()],
            verbose=0,
        )
        return model.get_weights()

    keras.utils.set_random_seed(1)
    expected = fit(model_with())

    keras.utils.set_random_seed(1)
    with pytest.raises(KeyboardInterrupt):
        fit(
            model_with(),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            Interrupt(),
        )
    resumed = fit(
        model_with(), keras.callbacks.BackupAndRestore(tmp_path / "backup")
    )
    for mine, uninterrupted in zip(resumed, expected, strict=True):
        np.testing.assert_array_equal(mine, uninterrupted)


@pytest.mark.parametrize("kind", [kh.HebbianSequential, keras.Sequential])
def test_weights_that_a_callback_restores_bring_no_decay(kind):
    model = model_with(kind) if kind is kh.HebbianSequential else hybrid()
    stopping = keras.callbacks.EarlyStopping(
        "local_learning_rate",
        mode="max",
        patience=2,
        restore_best_weights=True,
        start_from_epoch=1,
    )
    labels = None if kind is kh.HebbianSequential else IMAGES[:, :1]
    callbacks = [kh.LinearRateDecay(), stopping]
    model.fit(IMAGES, labels, epochs=6, callbacks=callbacks, verbose=0)
    assert stopping.best_epoch == 1
    layer = model.layers[0]
    assert float(layer.rates["learning_rate"]) == pytest.approx(0.8)


def test_a_decay_ends_with_an_interrupted_fit():
    callbacks = [kh.LinearRateDecay(), Interrupt()]
    model = model_with()
    with pytest.raises(KeyboardInterrupt):
        model.fit(IMAGES, epochs=4, callbacks=callbacks, verbose=0)
    rate = model.layers[0].rates["learning_rate"]
    assert float(rate) == pytest.approx(0.8)


def test_a_decay_starts_anew_after_an_interrupted_fit_of_a_standard_model():
    layers = [kh.LateralInhibitionSparse(4), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile("sgd", "mse")
    data = (IMAGES, IMAGES[:, :1])
    callbacks = [kh.LinearRateDecay(), Interrupt()]
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data, epochs=4, callbacks=callbacks, verbose=0)
    callbacks = [kh.LinearRateDecay(rates=["threshold_rate"])]
    history = model.fit(*data, epochs=2, callbacks=callbacks, verbose=0).history
    rate = float(layers[0].learning_rate)
    np.testing.assert_allclose(history["local_learning_rate"], rate, 1e-6)


def test_one_epoch_brings_a_warning():
    model = model_with()
    with pytest.warns(UserWarning, match="no effect in a `fit` of one epoch"):
        model.fit(IMAGES, callbacks=[kh.LinearRateDecay()], verbose=0)
    # Warnings are errors.
    model.fit(IMAGES, callbacks=[kh.LinearRateDecay(final=1.0)], verbose=0)


def test_starts_from_an_assigned_rate():
    model = model_with()
    model.layers[0].learning_rate = 0.4
    np.testing.assert_allclose(rates(model, epochs=2), [0.4, 0.2], rtol=1e-6)


def hybrid():
    layers = [*model_with().layers, keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(keras.optimizers.SGD(0.5), loss="mse")
    return model


def test_works_in_a_standard_model_beside_a_schedule_of_the_optimizer():
    schedule = keras.callbacks.LearningRateScheduler(lambda e, rate: rate / 2)
    history = (
        hybrid()
        .fit(
            IMAGES,
            np.ones((40, 1)),
            epochs=2,
            callbacks=[kh.LinearRateDecay(), schedule],
            verbose=0,
        )
        .history
    )
    local = history["local_learning_rate"]
    np.testing.assert_allclose(local, [0.8, 0.4], rtol=1e-6)
    np.testing.assert_allclose(history["learning_rate"], [0.25, 0.125])


def test_loaded_weights_bring_the_rate_that_the_decay_starts_from(tmp_path):
    trained = model_with(learning_rate=0.5)
    trained.layers[0].learning_rate = 0.25
    rates(trained, epochs=4)
    trained.save_weights(tmp_path / "model.weights.h5")
    model = model_with(learning_rate=0.8)
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(rates(model, epochs=2), [0.25, 0.125])


class Annealed(kh.HebbianCompetitive):
    """Units with a number that is not a step size."""

    temperature = kh.Rate(decays=False)

    def __init__(self, units, temperature=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.temperature = temperature


@pytest.mark.parametrize(
    ("names", "temperatures"), [(None, [1, 1]), (["temperature"], [1, 0.5])]
)
def test_a_rate_that_does_not_decay_is_left_alone_unless_named(
    names, temperatures
):
    model = kh.HebbianSequential([keras.Input((6,)), Annealed(4)])
    model.compile()
    decay = kh.LinearRateDecay(rates=names)
    history = model.fit(IMAGES, epochs=2, callbacks=[decay], verbose=0).history
    np.testing.assert_allclose(history["temperature"], temperatures)


def test_a_rate_is_assigned_from_a_tensor():
    layer = kh.HebbianCompetitive(4, learning_rate=0.5)
    layer.learning_rate *= 0.5
    layer.build((None, 6))
    layer.learning_rate *= 0.5
    assert float(layer.learning_rate) == 0.125
    layer.learning_rate = np.float32(0.75)
    assert float(layer.learning_rate) == 0.75


def test_the_rate_in_the_logs_is_the_rate_of_the_steps():
    model = model_with(learning_rate=0.5)
    observed, moved = [], []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.before = self.model.get_weights()[0]

        def on_epoch_end(self, epoch, logs=None):
            moved.append(
                np.abs(self.model.get_weights()[0] - self.before).max()
            )
            observed.append(logs["local_learning_rate"])

    model.fit(
        IMAGES,
        batch_size=40,
        epochs=5,
        callbacks=[kh.LinearRateDecay(), Watch()],
        verbose=0,
    )
    np.testing.assert_allclose(moved, observed, rtol=1e-4)


@pytest.mark.parametrize("final", [-0.1, 1.1, float("nan")])
def test_a_final_rate_outside_0_to_1_is_refused(final):
    with pytest.raises(ValueError, match="Expected `final`"):
        kh.LinearRateDecay(final=final)


def test_a_name_instead_of_names_is_refused():
    with pytest.raises(ValueError, match="Expected `rates`"):
        kh.LinearRateDecay(rates="learning_rate")


@pytest.mark.parametrize("names", [["learning_rat"], ["learning_rate", "x"]])
def test_names_of_no_rate_are_refused(names):
    misspelt = kh.LinearRateDecay(rates=names)
    with pytest.raises(ValueError, match=r"Received: .*\['learning_rate'\]"):
        rates(model_with(), callbacks=[misspelt])


def test_a_model_without_a_local_layer_is_refused():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = (IMAGES, IMAGES[:, :1])
    with pytest.raises(ValueError, match="Expected a model whose local"):
        model.fit(*data, callbacks=[kh.LinearRateDecay()], verbose=0)


@pytest.mark.parametrize("kind", [kh.HebbianCompetitive, kh.SoftHebb])
def test_a_decay_without_effect_is_said(kind):
    """The rates are schedules, and a temperature does not decay."""
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 100)
    layer = kind(4, learning_rate=schedule, name="units")
    model = kh.HebbianSequential([keras.Input((6,)), layer])
    model.compile()
    with pytest.warns(UserWarning, match=r"no effect.*schedules"):
        model.fit(IMAGES, callbacks=[kh.LinearRateDecay()], verbose=0)
    assert int(layer.iterations) == 2


def test_rates_are_chosen_by_name():
    layer = kh.LateralInhibitionSparse(
        4, learning_rate=0.01, threshold_rate=1.0, inhibition_rate=5e-4
    )
    model = kh.HebbianSequential([layer])
    model.compile()
    decay = kh.LinearRateDecay(rates=["threshold_rate", "learning_rate"])
    history = model.fit(IMAGES, epochs=2, callbacks=[decay], verbose=0).history
    for name, expected in (
        ("local_learning_rate", [0.01, 0.005]),
        ("threshold_rate", [1.0, 0.5]),
        ("inhibition_rate", [5e-4, 5e-4]),
    ):
        np.testing.assert_allclose(history[name], expected, rtol=1e-6)
