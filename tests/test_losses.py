import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import keras_hebbian as kh


def readout(loss, **arguments):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="tanh")]
    )
    model.compile(keras.optimizers.SGD(0.1), loss=loss, **arguments)
    return model


def test_values_worked_by_hand():
    predictions = np.array([[0.5, -1.0, 0.0], [1.0, 0.0, -2.0]])
    bipolar = np.array([[1, -1, -1], [-1, 1, -1]])
    # |-0.5|^3, 0, 1 and 2^3, |-1|^3, |-1|^3, over three classes
    assert float(kh.PowerLoss(3, reduction=None)(bipolar, predictions)[0]) == (
        pytest.approx((0.125 + 0 + 1) / 3)
    )
    assert float(kh.PowerLoss(3)(bipolar, predictions)) == (
        pytest.approx((1.125 + 10) / 3 / 2)
    )
    # |-0.5|, |-1|, 0 and 1, |-1|, |-2|
    binary = kh.PowerLoss(1, targets="binary")
    assert float(binary(bipolar, predictions)) == pytest.approx(5.5 / 3 / 2)


@given(
    power=st.sampled_from([1, 1.5, 2, 2.7, 6]),
    targets=st.sampled_from(["bipolar", "binary"]),
    seed=st.integers(0, 1000),
)
def test_every_kind_of_label_means_the_same(power, targets, seed):
    generator = np.random.default_rng(seed)
    predictions = generator.normal(size=(5, 4)).astype("float32")
    indices = generator.integers(0, 4, 5)
    hot = np.eye(4)[indices]
    other = {"bipolar": -1, "binary": 0}[targets]
    distance = np.abs(predictions - np.where(hot == 1, 1, other))
    expected = np.mean(distance**power)
    for labels in (hot, 2 * hot - 1, hot.astype("int32"), hot.tolist()):
        loss = kh.PowerLoss(power, targets)
        assert float(loss(labels, predictions)) == pytest.approx(expected, 1e-5)
    for labels in (indices, indices[:, None], indices.astype("uint8")):
        loss = kh.PowerLoss(power, targets, from_indices=True)
        assert float(loss(labels, predictions)) == pytest.approx(expected, 1e-5)


def test_power_2_on_binary_targets_is_the_mean_squared_error():
    generator = np.random.default_rng(0)
    predictions = generator.normal(size=(6, 5, 3))
    labels = np.eye(3)[generator.integers(0, 3, (6, 5))]
    weights = generator.uniform(size=(6, 5))
    for reduction in ("sum", "sum_over_batch_size", "none"):
        np.testing.assert_allclose(
            *(
                ops.convert_to_numpy(
                    loss(labels, predictions, sample_weight=weights)
                )
                for loss in (
                    kh.PowerLoss(2, targets="binary", reduction=reduction),
                    keras.losses.MeanSquaredError(reduction=reduction),
                )
            ),
            rtol=1e-5,
        )


def test_leading_axes_are_samples():
    generator = np.random.default_rng(0)
    predictions = generator.normal(size=(6, 5, 3))
    indices = generator.integers(0, 3, (6, 5))
    losses = kh.PowerLoss(3, from_indices=True, reduction=None)
    expected = np.mean(
        np.abs(predictions - (2 * np.eye(3)[indices] - 1)) ** 3, axis=-1
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(losses(indices, predictions)), expected, rtol=1e-5
    )


@pytest.mark.parametrize("from_indices", [False, True])
def test_the_dtype_is_that_of_the_computation(from_indices):
    loss = kh.PowerLoss(2, from_indices=from_indices, dtype="float16")
    labels = np.array([0]) if from_indices else np.array([[1, 0]])
    value = loss(labels, np.array([[1 + 2**-11, -1.0]]))
    assert keras.backend.standardize_dtype(value.dtype) == "float16"
    assert float(value) == 0  # float16 rounds the prediction to its target


def test_masked_steps_do_not_count():
    inputs = np.array([[[1.0, 2.0], [0.0, 0.0]], [[3.0, 1.0], [0.5, 0.5]]])
    labels = np.array([[0, 1], [1, 0]])
    model = keras.Sequential(
        [
            keras.Input((2, 2)),
            keras.layers.Masking(),
            kh.RectifiedPower(2),
            keras.layers.Dense(2),
        ]
    )
    model.compile(loss=kh.PowerLoss(2, from_indices=True))
    kernel, bias = model.get_weights()
    outputs = inputs**2 @ kernel + bias
    target = 2 * np.eye(2)[labels] - 1
    losses = np.mean((outputs - target) ** 2, axis=-1)
    keep = np.array([[1, 0], [1, 1]])  # Masking drops the step of zeros
    expected = np.sum(losses * keep) / keep.sum()
    assert model.evaluate(inputs, labels, verbose=0) == (
        pytest.approx(expected, rel=1e-5)
    )


@pytest.mark.parametrize("power", [1.5, 2, 6])
def test_a_prediction_that_is_right_gets_no_gradient(power):
    model = readout(kh.PowerLoss(power, targets="binary", from_indices=True))
    before = [np.zeros((4, 3)), np.array([0.0, 0.0, 0.0])]
    model.set_weights(before)  # so two of three outputs equal their target
    model.train_on_batch(np.ones((1, 4)), np.array([0]))
    kernel, bias = model.get_weights()
    # d|0 - 1|^m / dy = -m; tanh has slope 1; mean over three classes
    np.testing.assert_allclose(bias, [0.1 * power / 3, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(kernel, [bias] * 4, rtol=1e-5)


def test_the_gradient_of_power_1_stays_within_its_slopes():
    model = readout(kh.PowerLoss(1, targets="binary", from_indices=True))
    model.set_weights([np.zeros((4, 3)), np.zeros(3)])
    model.train_on_batch(np.ones((1, 4)), np.array([0]))
    assert np.abs(model.get_weights()[1]).max() <= 0.1 / 3 + 1e-6


@pytest.mark.parametrize("from_indices", [False, True])
def test_labels_of_no_class_are_refused_or_seen(from_indices):
    loss = kh.PowerLoss(from_indices=from_indices)
    kind = "class indices" if from_indices else "1 and -1, or 1 and 0"
    predictions = np.zeros((2, 3), "float32")
    mixed = [0, 1, -1]  # -1 or 0 for the other classes, not both
    for value in (0.5, 3, -2, np.nan, *([] if from_indices else [mixed])):
        good = np.array([0, 1]) if from_indices else np.eye(3)[:2]
        bad = good.astype("float32")
        bad[1] = value
        with pytest.raises(ValueError, match=f"Expected labels of {kind}. Rec"):
            loss(bad, predictions)
        model = readout(kh.PowerLoss(from_indices=from_indices))
        inputs = np.ones((2, 4))
        if keras.backend.backend() == "torch":  # sees the values in each step
            with pytest.raises(ValueError, match=r"Expected labels"):
                model.evaluate(inputs, bad, verbose=0)
        else:
            assert np.isnan(model.evaluate(inputs, bad, verbose=0))


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, (2,)),
        ({}, (2, 1)),
        ({}, (2, 4)),
        ({}, (1, 3)),
        ({"from_indices": True}, (2, 3)),
        ({"from_indices": True}, (3,)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments, shape):
    with pytest.raises(ValueError, match=r"Expected `y_true` of shape .*Rec"):
        kh.PowerLoss(**arguments)(np.zeros(shape), np.zeros((2, 3)))


@pytest.mark.parametrize("from_indices", [False, True])
def test_a_scalar_prediction_is_refused(from_indices):
    with pytest.raises(ValueError, match=r"\(\.\.\., classes\)\. Received"):
        kh.PowerLoss(from_indices=from_indices)(np.ones(()), np.ones(()))


def test_one_output_takes_flat_labels():
    loss = kh.PowerLoss(2, targets="binary")
    assert float(loss(np.array([1, 0]), np.array([[0.5], [0.0]]))) == 0.125


def test_nan_predictions_stay_nan():
    predictions = np.array([[np.nan, 1.0]])
    assert np.isnan(float(kh.PowerLoss()(np.array([[1, 0]]), predictions)))


def test_unknown_targets_are_refused():
    with pytest.raises(ValueError, match="Expected `targets` to be one of"):
        kh.PowerLoss(targets="onehot")


def test_a_model_remembers_its_loss(tmp_path):
    loss = kh.PowerLoss(3.5, "binary", from_indices=True, reduction="sum")
    model = readout(loss, metrics=["accuracy"])
    inputs, labels = np.ones((3, 4)), np.array([0, 1, 2])
    expected = model.evaluate(inputs, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(inputs, labels, verbose=0) == expected
    assert loaded.loss.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("dtype", "largest"), [("bfloat16", 256), ("float16", 2048)]
)
def test_more_class_indices_than_the_dtype_tells_apart_are_refused(
    dtype, largest
):
    loss = kh.PowerLoss(from_indices=True, dtype=dtype)
    fits, exceeds = (
        np.zeros((1, n), "float32") for n in (largest, largest + 1)
    )
    assert np.isfinite(float(loss(np.array([largest - 1]), fits)))
    with pytest.raises(ValueError, match=r"Expected at most .* classes"):
        loss(np.array([largest]), exceeds)
