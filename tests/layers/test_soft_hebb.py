import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
import oracles


def kernel_of(layer):
    return ops.convert_to_numpy(layer.kernel).copy()


def learned(inputs, **arguments):
    """A layer that saw `inputs` once, and its kernel before that."""
    layer = kh.SoftHebb(**{"units": 12, **arguments})
    layer.build(np.shape(inputs))
    before = kernel_of(layer)
    layer(inputs, training=True)
    return layer, before


@pytest.mark.parametrize("anti_hebbian", [True, False])
def test_fit_is_the_loop_of_the_paper(float64, digits, anti_hebbian):
    batch, rate = 12, 0.08
    images = digits[: 50 * batch].astype("float64") * 0.9
    layer = kh.SoftHebb(
        10,
        temperature=2.5,
        learning_rate=rate,
        radius=6.0,
        anti_hebbian=anti_hebbian,
    )
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    synapses = kernel_of(layer).T
    batches = [
        (rate * (1 - epoch / 2), images[i : i + batch])
        for epoch in range(2)
        for i in range(0, len(images), batch)
    ]
    assert len(batches) == 100
    expected = oracles.soft_competition(
        synapses, batches, 2.5, 0.5, anti_hebbian
    )

    model.compile()
    model.fit(
        images,
        batch_size=batch,
        epochs=2,
        shuffle=False,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    assert np.abs(expected - synapses).max() > 0.5
    np.testing.assert_allclose(kernel_of(layer).T, expected, rtol=0, atol=1e-9)
    assert int(layer.iterations) == 100


@pytest.mark.parametrize(
    "given", [{}, {"rate_exponent": 0.25}, {"precision": 1e6}], ids=str
)
def test_one_step_of_a_float64_layer(float64, digits, given):
    keras.config.set_floatx("float32")
    images = digits[:30].astype("float64") * 0.9
    layer, before = learned(
        images, temperature=2, learning_rate=0.1, dtype="float64", **given
    )
    expected = oracles.soft_competition(
        before.T,
        [(0.1, images)],
        2,
        given.get("rate_exponent", 0.5),
        True,
        given.get("precision", 1e-30),
    )
    np.testing.assert_allclose(kernel_of(layer).T, expected, rtol=0, atol=1e-12)


def test_a_step_by_hand():
    # The only sample has the drives 0 and log 3, hence the shares 1/4, 3/4,
    # of which the loser's counts negative: D is -x / 4 for the loser and
    # 3/4 (x - log(3) W) for the winner, whose norm is log(3) / 2.
    layer = kh.SoftHebb(2, learning_rate=0.1)
    layer.build((None, 2))
    log = np.log(3)
    layer.kernel.assign([[0.0, log / 2], [5.0, 0.0]])
    layer(np.array([[2.0, 0.0]], dtype="float32"), training=True)
    winner = 0.75 * (2 - log * log / 2)
    assert winner > 0.5
    step = 0.1 * np.array([2 * -0.5 / winner, np.sqrt(1 - log / 2)])
    np.testing.assert_allclose(
        kernel_of(layer), [[step[0], log / 2 + step[1]], [5.0, 0.0]], rtol=1e-5
    )


def test_the_start_has_the_radius(digits):
    for given, norm in (({}, 25), ({"radius": 4.0}, 4)):
        layer = kh.SoftHebb(400, **given)
        layer.build((None, 300))
        norms = np.linalg.norm(kernel_of(layer), axis=0)
        np.testing.assert_allclose(norms.mean(), norm, rtol=0.02)
        np.testing.assert_allclose(norms, norm, rtol=0.25)
    smaller = kh.SoftHebb.from_config({**layer.get_config(), "radius": 2.0})
    smaller.build((None, 300))
    norms = np.linalg.norm(kernel_of(smaller), axis=0)
    np.testing.assert_allclose(norms.mean(), 2, rtol=0.02)
    layer = kh.SoftHebb(3, radius=4.0, kernel_initializer="ones")
    layer.build((None, 2))
    np.testing.assert_array_equal(kernel_of(layer), 1)


def test_units_learn_digits_and_come_to_norm_1(digits, digit_labels):
    layer = kh.SoftHebb(
        40,
        temperature=1 / 12,
        learning_rate=0.1,
        anti_hebbian=False,
        kernel_initializer=keras.initializers.RandomUniform(0, 7.5),
    )
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    history = model.fit(
        digits,
        epochs=8,
        callbacks=[
            kh.LinearRateDecay(),
            kh.LearningMonitor((digits, digit_labels), every=8),
        ],
        verbose=0,
    ).history
    assert history["norm_distance"][0] > 2
    assert history["norm_distance"][-1] < 0.02
    assert history["winner_accuracy"][-1] > 0.85
    assert history["temperature"] == pytest.approx([1 / 12] * 8)


def test_norm_distance_is_two_sided():
    layer = kh.SoftHebb(4)
    layer.build((None, 2))
    # Norms 1, 1.5, 0.5 and 0.
    layer.kernel.assign([[0.6, 1.5, 0.5, 0.0], [0.8, 0.0, 0.0, 0.0]])
    assert float(layer.report()["norm_distance"]) == pytest.approx(0.5)


def test_the_temperature_can_be_assigned_while_learning(digits):
    layer, _ = learned(digits[:20], temperature=1.0)
    other = kh.SoftHebb(12, temperature=0.25)
    other.build((None, 64))
    other.kernel.assign(kernel_of(layer))
    layer.temperature = 0.25
    for each in (layer, other):
        each(digits[20:40], training=True)
    np.testing.assert_array_equal(kernel_of(layer), kernel_of(other))


def test_a_temperature_of_0_is_refused_when_it_is_assigned():
    layer = kh.SoftHebb(4)
    for built in (False, True):
        if built:
            layer.build((None, 3))
        with pytest.raises(ValueError, match=r"Expected `temperature` .* > 0"):
            layer.temperature = 0.0
        assert float(layer.temperature) == 1


def test_a_temperature_can_be_a_schedule(digits):
    cooling = keras.optimizers.schedules.PiecewiseConstantDecay([1], [5.0, 0.5])
    layer = kh.SoftHebb(12, temperature=cooling)
    layer.build((None, 64))
    for temperature in (5, 5, 0.5):
        assert float(layer.rates["temperature"]) == temperature
        layer(digits[:20], training=True)
    copy = kh.SoftHebb.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


def test_a_step_that_would_overflow_in_one_unit_is_skipped():
    layer = kh.SoftHebb(2)
    layer.build((None, 2))
    kernel = np.array([[1e30, 1], [0, 0]], "float32")
    layer.kernel.assign(kernel)
    layer(np.ones((3, 2), "float32"), training=True)
    np.testing.assert_array_equal(kernel_of(layer), kernel)
    assert (int(layer.iterations), int(layer.skipped)) == (0, 1)


def test_a_constraint_holds_after_each_step(digits):
    layer, before = learned(digits[:100], kernel_constraint="non_neg")
    assert before.min() < 0
    assert kernel_of(layer).min() == 0


def test_a_constraint_that_spoils_the_kernel_skips_the_batch(digits):
    layer, before = learned(
        digits[:100], kernel_constraint=lambda kernel: kernel * float("nan")
    )
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert (int(layer.iterations), int(layer.skipped)) == (0, 1)


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_absurd_rates_leave_finite_weights(digits, rate):
    layer, _ = learned(digits[:20], learning_rate=rate)
    for _ in range(4):
        layer(digits[:20], training=True)
    assert np.isfinite(kernel_of(layer)).all()


def test_all_zero_inputs_change_nothing():
    layer, before = learned(np.zeros((10, 64), dtype="float32"))
    np.testing.assert_array_equal(kernel_of(layer), before)


BAD_ARGUMENTS = [
    {"units": 1},
    {"units": 2.5},
    {"temperature": 0},
    {"temperature": -1.0},
    {"temperature": "hot"},
    {"temperature": float("nan")},
    {"learning_rate": -0.1},
    {"learning_rate": None},
    {"radius": 0},
    {"radius": -1.0},
    {"radius": float("inf")},
    {"rate_exponent": -0.5},
    {"rate_exponent": "half"},
    {"precision": 0},
    {"precision": 1e-50},
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS, ids=str)
def test_bad_arguments_are_refused(arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(ValueError, match=f"Expected `{name}`.* Received: "):
        kh.SoftHebb(**{"units": 12, **arguments})
