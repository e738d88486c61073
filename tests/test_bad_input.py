"""Bad inputs: the state stays finite, and the user is informed."""

import pathlib
import subprocess
import sys
import threading
import warnings

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import ops

import keras_hebbian as kh
from public_classes import arguments, found, required

LAYERS = {
    "competing": kh.HebbianCompetitive,
    "competing_p2": lambda units, **a: kh.HebbianCompetitive(units, p=2, **a),
    "sparse": kh.LateralInhibitionSparse,
    "sequential": lambda units, **a: kh.LateralInhibitionSparse(
        units, update="sequential", **a
    ),
    "topographic": lambda units, **a: kh.LateralInhibitionSparse(
        units, topography=units, **a
    ),
    "soft": kh.SoftHebb,
    # Of which there are no more than inputs.
    "pca": lambda units, **a: kh.HebbianPCA(1, **a),
    "map": lambda units, **a: kh.SelfOrganizingMap(units, **a),
    "sequential_map": lambda units, **a: kh.SelfOrganizingMap(
        units, update="sequential", **a
    ),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)


def model_of(kind, units=6, inputs=5, **given):
    layer = LAYERS[kind](units, **given)
    model = kh.HebbianSequential([keras.Input((inputs,)), layer])
    model.compile()
    return model


def state_of(layer):
    return {
        name: ops.convert_to_numpy(weight.value).copy()
        for name, weight in layer.state.items()
    }


def images(count=12, inputs=5):
    return np.random.default_rng(0).random((count, inputs), dtype="float32")


BAD_DAYS = {
    "an absurd rate": ({"learning_rate": 1e30}, images()),
    "the largest rate": ({"learning_rate": 1e38}, images()),
    "large inputs": ({}, images() * 1e30),
    "the largest inputs": ({}, images() * 3e38),
    "tiny inputs": ({}, images() * 1e-30),
    "the tiniest inputs": ({}, images() * 1e-44),
    "constant images": ({}, np.ones((12, 5), "float32")),
    "black images": ({}, np.zeros((12, 5), "float32")),
    "a single sample": ({}, images(1)),
    "more units than samples": ({"units": 40}, images(3)),
    "one input": ({}, images(12, 1)),
}


@every_layer
@pytest.mark.parametrize("day", BAD_DAYS)
def test_a_bad_day_leaves_finite_weights(kind, day):
    given, data = BAD_DAYS[day]
    given = {"units": 6, **given}
    layer = LAYERS[kind](**given)
    for batch in (data, data[:0], data[:1], data, data):
        layer(batch, training=True)
    for weight in layer.get_weights():
        assert np.isfinite(weight).all()
    outputs = layer(np.ones_like(data))
    assert not np.isnan(ops.convert_to_numpy(outputs)).any()


OVERFLOWS = {
    "competing": ({}, 3e38),
    "competing_p2": ({}, 3e38),
    "sparse": ({"threshold_rate": 1e38}, 1.0),
    "sequential": ({"learning_rate": 1e38}, 1e6),
    "topographic": ({"threshold_rate": 1e38}, 1.0),
    "soft": ({}, 3e38),
    "pca": ({}, 3e38),
    "map": ({}, 1e30),
    "sequential_map": ({"learning_rate": 1e30}, 1.0),
}


@every_layer
def test_an_update_that_would_overflow_is_skipped(kind):
    given, scale = OVERFLOWS[kind]
    layer = LAYERS[kind](6, **given)
    model = kh.HebbianSequential([keras.Input((5,)), layer])
    model.compile()
    before = state_of(layer)
    model.train_on_batch(images() * scale)
    for name, value in before.items():
        np.testing.assert_array_equal(state_of(layer)[name], value)
    assert (int(layer.iterations), int(layer.skipped)) == (0, 1)


def batches(data):
    """Data whose values `fit` cannot see before the steps."""
    return ((batch,) for batch in data)


@every_layer
def test_skipped_batches_are_logged_and_warned_about_once(kind):
    model = model_of(kind)
    data = np.stack([images(), images(), images()])
    data[1, 3, 2] = np.nan
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        history = model.fit(
            batches(np.tile(data, (4, 1, 1))),
            steps_per_epoch=3,
            epochs=4,
            shuffle=False,
            verbose=0,
        ).history
    assert history["skipped"] == [1, 1, 1, 1]
    (message,) = (str(x.message) for x in told if x.category is UserWarning)
    assert "skipped 1 batch:" in message
    assert int(model.layers[0].skipped) == 4
    # A second fit counts its own batches only.
    assert "skipped" not in model.fit(images(), verbose=0).history


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@every_layer
def test_a_compiled_step_skips_a_bad_batch(kind, bad):
    clean, spoiled = models = [model_of(kind) for _ in range(2)]
    spoiled.set_weights(clean.get_weights())
    for model in models:
        model.compile(jit_compile=keras.backend.backend() != "torch")
        model.train_on_batch(images())
    poisoned = images()
    poisoned[3, 2] = bad
    spoiled.train_on_batch(poisoned)
    for model in models:
        model.train_on_batch(images() / 2)
    states = [state_of(model.layers[-1]) for model in models]
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value)
    layer = spoiled.layers[-1]
    assert (int(layer.iterations), int(layer.skipped)) == (2, 1)


def test_the_history_has_as_many_skipped_entries_as_epochs():
    model = model_of("competing")
    good, bad = images(), images()
    bad[0, 0] = np.nan
    with pytest.warns(UserWarning, match="skipped 1 batch:"):
        history = model.fit(
            batches([good, good, bad, good]),
            steps_per_epoch=1,
            epochs=4,
            shuffle=False,
            verbose=0,
        ).history
    assert history["skipped"] == [0, 0, 1, 0]


def test_a_standard_model_reports_skipped_batches_too():
    inputs = keras.Input((5,))
    units = kh.HebbianCompetitive(6, name="u")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(units))
    model.compile("sgd", "mse")
    data = images()
    data[0, 0] = np.inf
    with pytest.warns(UserWarning, match="u skipped 1 batch:"):
        history = model.fit(
            data,
            np.ones((12, 1)),
            batch_size=4,
            callbacks=[kh.SkippedBatches()],
            verbose=0,
        ).history
    assert history["skipped"] == [1]


def test_each_of_several_layers_tells_of_itself():
    layers = [
        kh.HebbianCompetitive(6, kernel_initializer="random_normal", name="low")
    ]
    layers.append(kh.LateralInhibitionSparse(3, name="high"))
    model = kh.HebbianSequential([keras.Input((5,)), *layers])
    model.compile()
    with pytest.warns(UserWarning, match="high skipped"):
        history = model.fit(images(), batch_size=4, verbose=0).history
    assert history["low_skipped"] == [0]
    assert history["high_skipped"] == [3]


JUNK = [
    None, True, -1, 0, 1, 2, 3, 5, 2.5, 0.5, 1e-30, 1e30, 1e300, 10**30,
    float("nan"), float("inf"), -float("inf"), "", "batch", "relu", "zeros",
    "sequential", "non_neg", [], (2,), {}, object(), np.float32(0.1),
    np.int64(3), b"x", 1j,
]  # fmt: skip
SHAPES = [(1, 3), (5, 3), (2, 2, 3), (5, 1), (0, 3), (5, 0), (3,), ()]
DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int32", "bool"]
SCALES = [0.0, 1.0, -1.0, 255.0, 1e-30, 1e30, np.nan, np.inf]


@st.composite
def constructor_arguments(draw, public):
    """Arguments, up to two of which are arbitrary."""
    names = list(arguments(public))
    spoiled = draw(
        st.sets(st.sampled_from(names), max_size=2) if names else st.just(())
    )
    given = {
        name: draw(st.sampled_from(JUNK)) for name in names if name in spoiled
    }
    return {**required(public), **given}


@st.composite
def inputs_for(draw, public):
    """Arrays, half of which are valid."""
    rng = np.random.default_rng(draw(st.integers(0, 3)))
    if draw(st.booleans()):
        shape = (5, 6, 6, 3) if public is kh.Convolution else (5, 3)
        return rng.random(shape, dtype="float32")
    values = rng.random(draw(st.sampled_from(SHAPES)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of casts that overflow
        values = values * draw(st.sampled_from(SCALES))
        return values.astype(draw(st.sampled_from(DTYPES)))


def is_moderate(values):
    return bool(np.all(np.abs(np.asarray(values, "float64")) < 1e12))


def use_layer(layer, values):
    if hasattr(layer, "adapt"):
        classes = np.zeros(values.shape[:-1], "int32")
        layer.adapt(values, classes)
    outputs = layer(values, training=True)
    weights = layer.get_weights()
    assert all(np.isfinite(weight).all() for weight in weights)
    if is_moderate(values) and all(map(is_moderate, weights)):
        assert not np.isnan(ops.convert_to_numpy(outputs)).any()


def use_loss(loss, values):
    values = np.atleast_1d(values)
    value = ops.convert_to_numpy(loss(np.ones_like(values), values))
    if values.size and is_moderate(values):
        assert not np.isnan(value).any()


def use_callback(callback, values):
    model = kh.HebbianSequential([kh.HebbianCompetitive(4, name="units")])
    model.compile()
    model.fit(values, callbacks=[callback], verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def use_model(model, values):
    model.add(kh.HebbianCompetitive(4))
    model.compile()
    model.fit(values, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def use(instance, values):
    if isinstance(instance, keras.Sequential):
        use_model(instance, values)
    elif isinstance(instance, keras.Layer):
        use_layer(instance, values)
    elif isinstance(instance, keras.losses.Loss):
        use_loss(instance, values)
    elif isinstance(instance, keras.callbacks.Callback):
        use_callback(instance, values)


KERAS_CHECKS = {
    "activation", "dtype", "kernel_constraint", "kernel_initializer", "layers",
    "name", "reduction", "seed", "trainable",
}  # fmt: skip
"""Arguments that are passed on to Keras, which checks them itself."""


def is_a_refusal(error, spoiled):
    """Whether the message says what was expected, or is Keras's to write."""
    text = str(error)
    return (
        ("Expected" in text and "Received" in text)
        or bool(spoiled & KERAS_CHECKS)
        or "incompatible with the layer" in text
    )


# Only Keras could reject arguments of the model; the callback writes files.
NOT_USED = (kh.HebbianModel, kh.WeightVisualization)


@pytest.mark.parametrize(
    "public",
    [public for public in found() if public not in NOT_USED],
    ids=lambda x: x.__name__,
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_anything_is_either_right_or_refused(public):
    outcomes = {"right": 0, "refused": 0}
    fits = issubclass(public, keras.Model | keras.callbacks.Callback)

    @settings(
        max_examples=15 if fits or public is kh.Convolution else 150,
        suppress_health_check=list(HealthCheck),
    )
    @given(constructor_arguments(public), inputs_for(public))
    def throw(given_arguments, values):
        spoiled = {
            name
            for name, value in given_arguments.items()
            if any(value is junk for junk in JUNK)
        }
        try:
            use(public(**given_arguments), values)
        except (ValueError, TypeError) as error:
            if not is_a_refusal(error, spoiled):
                raise
            outcomes["refused"] += 1
        else:
            outcomes["right"] += 1

    throw()
    assert outcomes["right"] > 0


def test_thousands_of_steps_of_fit_keep_the_memory():
    if not pathlib.Path("/proc/self/statm").exists():
        pytest.skip("this system has no /proc/self/statm")
    script = pathlib.Path(__file__).with_name("memory.py")
    printed = subprocess.run(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    # A leak of one small tensor in each of 1000 steps would be 0.5 MB.
    assert int(printed.splitlines()[-1]) < 5e5


@pytest.mark.parametrize("kind", ["competing", "sparse"])
def test_two_models_learn_in_two_threads(kind):
    def fit(model):
        model.fit(
            images(200),
            batch_size=4,
            epochs=3,
            shuffle=False,
            callbacks=[kh.LinearRateDecay()],
            verbose=0,
        )

    def pair():
        keras.utils.set_random_seed(1)
        return [model_of(kind), model_of(kind, learning_rate=0.05)]

    alone, together = pair(), pair()
    for model in alone:
        fit(model)
    threads = [threading.Thread(target=fit, args=(m,)) for m in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        for mine, its in zip(
            one.get_weights(), other.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, its)


@every_layer
def test_padding_is_not_learned(kind):
    """As other layers do, local layers pass a mask on."""
    model = model_of(kind)
    layer = model.layers[-1]
    inputs = keras.Input((3, 5))
    outputs = layer(keras.layers.Masking()(inputs))
    pooled = keras.layers.GlobalAveragePooling1D()(outputs)
    masked = kh.HebbianModel(inputs, [outputs, pooled])
    masked.compile()
    data = np.stack([images(), images(), 0 * images()], axis=1)
    before = state_of(layer)
    with pytest.raises(ValueError, match="Expected inputs without a mask"):
        masked.fit(data, verbose=0)
    for name, value in state_of(layer).items():
        np.testing.assert_array_equal(before[name], value)
    units, means = masked.predict(data, verbose=0)
    np.testing.assert_allclose(means, units[:, :2].mean(axis=1), rtol=1e-4)
    layer.trainable = False
    masked(data, training=True)
