import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import Variable, ops

from keras_hebbian import _powers
from keras_hebbian.rules import competitive

WEIGHTS = np.array([[-2.0, 0.0, 0.5], [3.0, -0.25, 1.0]], dtype="float32")


@pytest.mark.parametrize("p", [1, 1.5, 2, 2.5, 3, 4, 7])
def test_dual_is_the_signed_power_of_the_paper(p):
    expected = np.sign(WEIGHTS) * np.abs(WEIGHTS) ** (p - 1)
    dual = competitive.dual(ops.convert_to_tensor(WEIGHTS), p)
    np.testing.assert_allclose(ops.convert_to_numpy(dual), expected, rtol=1e-6)


@pytest.mark.parametrize("p", [2, 2.0, 3, 3.0])
def test_whole_p_calls_no_general_power(monkeypatch, p):
    def fail(*args):
        raise AssertionError("a general power was called")

    monkeypatch.setattr(_powers, "general_power", fail)
    competitive.dual(ops.convert_to_tensor(WEIGHTS), p)


@pytest.mark.parametrize("kind", [np.array, ops.convert_to_tensor, Variable])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_norms_are_p_norms(p, kind):
    norms = competitive.norms(kind(WEIGHTS), p)
    np.testing.assert_allclose(
        ops.convert_to_numpy(norms),
        np.linalg.norm(WEIGHTS, p, axis=0),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("k", "rivals", "driven"),
    [(2, [2, 3], [4, 2]), (3, [0, 1], [3, 1]), (4, [3, 2], [-1, 0])],
)
def test_the_largest_current_wins_and_the_kth_is_its_rival(k, rivals, driven):
    currents = np.array([[3, 9, 4, -1], [9, 1, 0, 2]], dtype="float32")
    units, drives = competitive.compete(ops.convert_to_tensor(currents), k)
    np.testing.assert_array_equal(ops.convert_to_numpy(units), [[1, 0], rivals])
    np.testing.assert_array_equal(
        ops.convert_to_numpy(drives), [[9, 9], driven]
    )


def test_tied_units_do_not_share_a_place():
    units, _ = competitive.compete(ops.zeros((3, 5)), k=2)
    winners, rivals = ops.convert_to_numpy(units)
    assert (winners != rivals).all()


def direction(inputs, kernel, p, k, delta):
    inputs, kernel = map(ops.convert_to_tensor, (inputs, kernel))
    currents = competitive.currents(inputs, kernel, p)
    units, drives = competitive.compete(currents, k)
    return ops.convert_to_numpy(
        competitive.direction(inputs, kernel, units, drives, delta)
    )


def test_direction_by_hand():
    # p = 2: I = x W = [[1, 4], [6, 2]], so g = [[-.5, 1], [1, -.5]] and
    # sum_b g I = [5.5, 3].
    inputs = np.array([[1.0, 2.0], [4.0, 1.0]], dtype="float32")
    kernel = np.array([[11 / 7, 0.0], [-2 / 7, 2.0]], dtype="float32")
    hebbian = np.array([[3.5, -1.0], [0.0, 1.5]])
    np.testing.assert_allclose(
        direction(inputs, kernel, p=2, k=2, delta=0.5),
        hebbian - kernel * [5.5, 3.0],
        atol=1e-5,
    )


def test_directions_of_parts_add_up(digits):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(64, 20)).astype("float32")
    whole, first, second = (
        direction(part, kernel, p=3, k=4, delta=0.4)
        for part in (digits[:50], digits[:20], digits[20:50])
    )
    np.testing.assert_allclose(first + second, whole, rtol=1e-4, atol=1e-4)


def move(kernel, direction, rate):
    scale = competitive.scale(direction, rate, precision=1e-30)
    return competitive.step(kernel, direction, scale)


finite = st.floats(-(2**66), 2**66, width=32)


@given(arrays("float32", (3, 4), elements=finite))
def test_no_weight_moves_by_more_than_the_rate(direction):
    kernel = np.zeros((3, 4), dtype="float32")
    moved = ops.convert_to_numpy(
        move(
            ops.convert_to_tensor(kernel),
            ops.convert_to_tensor(direction),
            ops.convert_to_tensor(0.02, dtype="float32"),
        )
    )
    largest = np.abs(direction).max()
    if largest >= 1e-30:
        np.testing.assert_allclose(np.abs(moved).max(), 0.02, rtol=1e-5)
    else:
        assert np.abs(moved).max() <= 0.02
    if largest == 0:
        np.testing.assert_array_equal(moved, kernel)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_one_overflow_spoils_all_weights(value):
    direction = np.zeros((3, 4), dtype="float32")
    direction[2, 1] = value
    kernel = move(ops.ones((3, 4)), ops.convert_to_tensor(direction), 0.02)
    assert np.isnan(ops.convert_to_numpy(kernel)).all()


def test_the_arguments_of_a_step_stay_as_they_are():
    kernel, direction = (ops.convert_to_tensor(WEIGHTS * x) for x in (1.0, 3.0))
    scale = ops.convert_to_tensor(np.float32(0.5))
    first, second = (
        ops.convert_to_numpy(competitive.step(kernel, direction, scale))
        for _ in range(2)
    )
    np.testing.assert_allclose(first, 2.5 * WEIGHTS, rtol=1e-6)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(
        ops.convert_to_numpy(direction), 3 * WEIGHTS, rtol=1e-6
    )


def test_every_unit_may_have_its_own_rate():
    direction = ops.convert_to_tensor(np.float32([[4.0, -1.0], [2.0, 0.5]]))
    rates = ops.convert_to_tensor(np.float32([0.4, 0.8]))
    scale = competitive.scale(direction, rates, 1e-30)
    np.testing.assert_allclose(
        ops.convert_to_numpy(scale), [0.1, 0.2], rtol=1e-6
    )
    kernel = ops.convert_to_tensor(np.ones((2, 2), "float32"))
    np.testing.assert_allclose(
        ops.convert_to_numpy(competitive.step(kernel, direction, scale)),
        [[1.4, 0.8], [1.2, 1.1]],
        rtol=1e-6,
    )


@pytest.mark.parametrize("p", [1, 2, 3])
def test_small_units_are_scaled_up_and_large_ones_left_alone(float64, p):
    kernel = np.array([[0.3, 3.0, 0.0], [-0.4, 4.0, 0.0]])
    scaled = competitive.at_least(ops.convert_to_tensor(kernel), p, 1.0)
    expected = kernel.copy()
    expected[:, 0] /= np.linalg.norm(kernel[:, 0], p)
    np.testing.assert_allclose(
        ops.convert_to_numpy(scaled), expected, rtol=1e-12
    )


@pytest.mark.parametrize("p", [1, 2, 3])
def test_every_unit_starts_at_the_norm(float64, p):
    start = competitive.start(ops.convert_to_tensor(WEIGHTS), p, 2.5)
    start = ops.convert_to_numpy(start)
    assert start.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(start, p, axis=0), 2.5)
