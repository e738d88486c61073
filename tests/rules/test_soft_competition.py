import numpy as np
import pytest
from keras import ops

from keras_hebbian.rules import soft_competition

LOG = np.log([[1.0, 2.0, 5.0], [6.0, 1.0, 1.0]])


def compete(drives, temperature=1.0, anti_hebbian=True):
    drives = ops.convert_to_tensor(np.array(drives, dtype="float32"))
    return ops.convert_to_numpy(
        soft_competition.compete(drives, temperature, anti_hebbian)
    )


def test_shares_by_hand():
    shares = [[1 / 8, 2 / 8, 5 / 8], [6 / 8, 1 / 8, 1 / 8]]
    np.testing.assert_allclose(
        compete(LOG, anti_hebbian=False), shares, rtol=1e-6
    )
    signs = [[-1, -1, 1], [1, -1, -1]]
    np.testing.assert_allclose(
        compete(LOG), np.multiply(shares, signs), rtol=1e-6
    )


def test_the_temperature_divides_the_drives():
    squares = [[1 / 30, 4 / 30, 25 / 30], [36 / 38, 1 / 38, 1 / 38]]
    np.testing.assert_allclose(
        compete(LOG, 0.5, anti_hebbian=False), squares, rtol=1e-5
    )


def test_of_equal_drives_the_first_wins():
    np.testing.assert_allclose(
        compete(np.zeros((2, 4))), [[0.25, -0.25, -0.25, -0.25]] * 2
    )


def test_direction_by_hand():
    # u = x W = [[1, 4], [6, 2]] and sum_b g u = [.75 * 1 + .5 * 6, 1 - 1].
    inputs = np.array([[1.0, 2.0], [4.0, 1.0]])
    kernel = np.array([[11 / 7, 0.0], [-2 / 7, 2.0]])
    activation = np.array([[0.75, 0.25], [0.5, -0.5]])
    hebbian = np.array([[2.75, -1.75], [2.0, 0.0]])
    tensors = [
        ops.convert_to_tensor(value.astype("float32"))
        for value in (inputs, kernel, activation)
    ]
    np.testing.assert_allclose(
        ops.convert_to_numpy(soft_competition.direction(*tensors)),
        hebbian - kernel * [3.75, 0.0],
        atol=1e-5,
    )


def test_arguments_stay_as_they_are(digits):
    rng = np.random.default_rng(0)
    kernel = ops.convert_to_tensor(rng.normal(size=(64, 5)).astype("float32"))
    inputs = ops.convert_to_tensor(digits[:9])
    drives = inputs @ kernel
    given = inputs, kernel, drives
    before = [ops.convert_to_numpy(value).copy() for value in given]
    activation = soft_competition.compete(drives, 1.0, anti_hebbian=True)
    soft_competition.direction(inputs, kernel, activation)
    soft_competition.rates(kernel, 0.1, 0.5)
    for value, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), copy)


# Norms 5, 1 and 0.36.
KERNEL = np.array([[3.0, 0.0, 0.36], [-4.0, 1.0, 0.0]], dtype="float32")


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [(0.5, [0.2, 1e-6, 0.08]), (1.0, [0.4, 1e-11, 0.064]), (0.0, [0.1] * 3)],
)
def test_rates_of_units_by_hand(exponent, expected):
    rates = soft_competition.rates(ops.convert_to_tensor(KERNEL), 0.1, exponent)
    np.testing.assert_allclose(ops.convert_to_numpy(rates), expected, rtol=1e-5)
