import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh

POWERS = (1, 1.5, 2, 3, 4.5, 7)


def gradient(function, x):
    """The derivative of `function` at each element of `x`, by backprop."""

    class Given(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.x = self.add_weight(shape=x.shape, name="x")

        def call(self, inputs):
            return function(self.x)

    layer = Given()
    layer.x.assign(x)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: ops.sum(y))
    model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1)))
    return x - ops.convert_to_numpy(layer.x)


@pytest.mark.parametrize("power", POWERS)
def test_rectified_power_is_the_power_of_what_is_positive(power, float64):
    x = np.linspace(-3, 3, 25)
    outputs = kh.activations.rectified_power(x, power)
    np.testing.assert_allclose(
        ops.convert_to_numpy(outputs),
        [value**power if value > 0 else 0.0 for value in x],
        rtol=1e-12,
    )


@pytest.mark.parametrize("power", POWERS)
def test_the_exact_gradient_is_the_derivative_and_finite_at_0(power, float64):
    x = np.array([-2.0, -1e-3, 0.0, 1e-3, 0.7, 3.0])
    slope = gradient(lambda x: kh.activations.rectified_power(x, power), x)
    expected = [power * v ** (power - 1) if v > 0 else 0.0 for v in x]
    # What is left of the subtraction of a step from a value of 3.
    np.testing.assert_allclose(slope, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("power", POWERS)
def test_straight_through_passes_the_gradient_everywhere(power, float64):
    x = np.array([-2.0, 0.0, 1e-3, 3.0])
    slope = gradient(
        lambda x: (
            5 * kh.activations.rectified_power(x, power, "straight_through")
        ),
        x,
    )
    np.testing.assert_allclose(slope, 5 * np.ones(4), rtol=1e-12)


@pytest.mark.parametrize("power", POWERS)
def test_the_layer_is_the_function(power, float64):
    x = np.array([-2.0, 0.5, 3.0])
    for how in ("exact", "straight_through"):
        layer = kh.RectifiedPower(power, gradient=how)
        slope = power * np.maximum(x, 0) ** (power - 1) * (x > 0)
        np.testing.assert_allclose(
            ops.convert_to_numpy(layer(x)), np.maximum(x, 0) ** power
        )
        np.testing.assert_allclose(
            gradient(layer, x), slope if how == "exact" else [1, 1, 1]
        )


def test_straight_through_changes_no_output():
    x = np.array([-np.inf, -5, 0, 1e-3, 1e4, np.inf, np.nan], dtype="float32")
    exact, straight = (
        ops.convert_to_numpy(kh.activations.rectified_power(x, 4.5, gradient))
        for gradient in ("exact", "straight_through")
    )
    np.testing.assert_array_equal(exact, straight)
    assert np.isnan(exact[-1])


def test_half_precision_rounds_once_and_stays_finite():
    x = np.array([0.1, 1.7, 11.7, 300.0])
    true = x**4.5
    for dtype, rounding in (("float16", 2**-11), ("bfloat16", 2**-8)):
        given = ops.cast(ops.convert_to_tensor(x, "float32"), dtype)
        outputs = kh.activations.rectified_power(given)
        assert keras.backend.standardize_dtype(outputs.dtype) == dtype
        outputs = ops.convert_to_numpy(ops.cast(outputs, "float32"))
        given = ops.convert_to_numpy(ops.cast(given, "float32"))
        assert np.isfinite(outputs).all()
        # Below 2^-14 a float16 has no room for 11 bits.
        np.testing.assert_allclose(
            outputs[:3],
            given[:3].astype("float64") ** 4.5,
            rtol=rounding,
            atol=2**-24,
        )
        assert outputs[3] == 65504 or abs(outputs[3] / true[3] - 1) < 0.01


def test_half_precision_passes_finite_gradients():
    keras.config.set_floatx("float16")
    try:
        x = np.array([-300.0, 0.0, 11.7, 300.0], dtype="float16")
        slope = gradient(kh.activations.rectified_power, x)
    finally:
        keras.config.set_floatx("float32")
    assert np.isfinite(slope).all()


def test_integers_become_floats():
    outputs = kh.activations.rectified_power(np.array([-1, 2]), 3)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs), [0.0, 8.0])


@pytest.mark.parametrize(
    "activation",
    [
        kh.activations.rectified_power,
        keras.saving.get_registered_object("keras_hebbian>rectified_power"),
        kh.RectifiedPower(3, gradient="straight_through"),
    ],
    ids=["function", "name", "layer"],
)
def test_it_is_an_activation_of_any_layer(activation, tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation=activation)]
    )
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    expected = activation(x @ model.get_weights()[0])
    np.testing.assert_allclose(
        model.predict(x, verbose=0), ops.convert_to_numpy(expected), rtol=1e-5
    )
    path = tmp_path / "model.keras"
    model.save(path)
    np.testing.assert_array_equal(
        keras.models.load_model(path).predict(x, verbose=0),
        model.predict(x, verbose=0),
    )


@pytest.mark.parametrize("power", [0.9, -1, float("nan"), float("inf"), "2"])
def test_powers_below_1_or_not_finite_are_refused(power):
    for use in (
        kh.RectifiedPower,
        lambda power: kh.activations.rectified_power(np.ones(1), power),
        kh.PowerLoss,
    ):
        with pytest.raises(ValueError, match=r"Expected `power` .* Received: "):
            use(power)


def test_unknown_gradients_are_refused():
    with pytest.raises(
        ValueError, match=r"`gradient` .* one of \('exact'.*='sur"
    ):
        kh.RectifiedPower(gradient="surrogate")
    with pytest.raises(ValueError, match=r"one of \('exact'"):
        kh.activations.rectified_power(np.ones(1), 2, "surrogate")


def numpy_triangle(x, power):
    above = np.maximum(x - x.mean(axis=-1, keepdims=True), 0)
    return above**power


TRIANGLE_POWERS = (0.5, 0.7, 1, 1.4, 2)


@pytest.mark.parametrize("power", TRIANGLE_POWERS)
def test_triangle_is_the_power_of_what_is_above_the_mean(power, float64):
    x = np.random.default_rng(0).normal(size=(2, 3, 7))
    for use in (
        lambda x: kh.activations.triangle(x, power),
        kh.Triangle(power),
    ):
        np.testing.assert_allclose(
            ops.convert_to_numpy(use(x)), numpy_triangle(x, power), rtol=1e-12
        )


@pytest.mark.parametrize("power", TRIANGLE_POWERS)
def test_the_gradient_of_a_triangle_is_its_derivative(power, float64):
    # The means are 0, and one value is exactly there.
    x = np.array([[-2.0, 0.0, 0.5, 1.5], [0.25, 0.25, 0.25, -0.75]])
    slope = np.zeros_like(x)  # of f(v) for each v above the mean
    slope[x > 0] = power * x[x > 0] ** (power - 1)
    # The mean, a quarter of each value, is taken off all of them.
    expected = slope - slope.sum(axis=-1, keepdims=True) / 4
    np.testing.assert_allclose(
        gradient(lambda x: kh.activations.triangle(x, power), x),
        expected,
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("power", TRIANGLE_POWERS)
def test_equal_responses_are_silent_and_pass_no_gradient(power):
    x = np.ones((2, 4), dtype="float32")
    outputs = kh.activations.triangle(x, power)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs), 0)
    slope = gradient(lambda x: kh.activations.triangle(x, power), x)
    np.testing.assert_array_equal(slope, 0)


@pytest.mark.parametrize("power", TRIANGLE_POWERS)
def test_a_triangle_hides_no_nan(power):
    x = np.array([[1, 2, np.nan], [1, 2, 6]], dtype="float32")
    outputs = ops.convert_to_numpy(kh.activations.triangle(x, power))
    assert np.isnan(outputs[0]).all()
    assert np.isfinite(outputs[1]).all()


def test_a_triangle_in_half_precision_rounds_once_and_stays_finite():
    x = np.array([[-300.0, 0.0, 0.7, 299.3]])
    for dtype, rounding in (("float16", 2**-11), ("bfloat16", 2**-8)):
        given = ops.cast(ops.convert_to_tensor(x, "float32"), dtype)
        outputs = kh.activations.triangle(given, 0.7)
        assert keras.backend.standardize_dtype(outputs.dtype) == dtype
        given = ops.convert_to_numpy(ops.cast(given, "float32"))
        np.testing.assert_allclose(
            ops.convert_to_numpy(ops.cast(outputs, "float32")),
            numpy_triangle(given, 0.7),
            rtol=1.01 * rounding,
        )
    huge = kh.activations.triangle(x.astype("float16"), 3)
    assert float(ops.convert_to_numpy(huge)[0, 3]) == 65504


def test_a_triangle_makes_floats_of_integers():
    outputs = kh.activations.triangle(np.array([[1, 2, 6]]), 2)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs), [[0, 0, 9]])


def test_a_triangle_is_an_activation_of_any_layer(tmp_path):
    layer = kh.SoftHebb(5, activation=kh.activations.triangle)
    model = keras.Sequential([keras.Input((4,)), layer])
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    np.testing.assert_allclose(
        model.predict(x, verbose=0),
        numpy_triangle(x @ model.get_weights()[0], 1),
        rtol=1e-4,
        atol=1e-4,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].activation is kh.activations.triangle


@pytest.mark.parametrize("power", [0, -1, float("nan"), float("inf"), "2"])
def test_powers_of_a_triangle_are_positive_and_finite(power):
    for use in (
        kh.Triangle,
        lambda power: kh.activations.triangle(np.ones(1), power),
    ):
        with pytest.raises(ValueError, match=r"Expected `power` .* Received: "):
            use(power)
