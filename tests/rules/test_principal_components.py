import numpy as np
import pytest
from keras import ops

from keras_hebbian.rules import principal_components as rule

INPUTS = np.array([[1.0, 2.0, 0.0], [4.0, 1.0, -1.0]])
KERNEL = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 2.0]])
every_rule = pytest.mark.parametrize("ordered", [True, False])


def tensor(values):
    return ops.convert_to_tensor(np.array(values, dtype="float32"))


def equal(result, expected):
    np.testing.assert_allclose(
        ops.convert_to_numpy(result), expected, rtol=1e-5, atol=1e-6
    )


def test_sums_by_hand():
    # y = [[1, 2], [3.5, -1]].
    hebbian, total = rule.sums(tensor(INPUTS), tensor([[1, 2], [3.5, -1]]))
    equal(hebbian, [[15, -2], [5.5, 3], [-3.5, 1]])
    equal(total, 23)


def test_sums_of_parts_add_up(digits):
    kernel = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    images = digits[:50]

    def sums(part):
        return rule.sums(tensor(part), tensor(part @ kernel))

    whole, first, second = sums(images), sums(images[:20]), sums(images[20:])
    for all_of_it, one, other in zip(whole, first, second, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(all_of_it),
            ops.convert_to_numpy(one + other),
            rtol=1e-3,
        )


@every_rule
def test_overlaps_are_the_mean_products_of_the_responses(digits, ordered):
    kernel = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    response = digits @ kernel
    hebbian = digits.T @ response / len(digits)
    expected = response.T @ response / len(digits)
    equal_to = np.triu(expected) if ordered else expected
    np.testing.assert_allclose(
        ops.convert_to_numpy(
            rule.overlaps(tensor(hebbian), tensor(kernel), ordered)
        ),
        equal_to,
        atol=1e-3,
    )


def test_directions_by_hand():
    # W' H = [[2, 1], [4, 3]] with H = [[2, 1], [4, 3], [0, 0]].
    hebbian = tensor([[2, 1], [4, 3], [0, 0]])
    kernel = tensor(KERNEL)
    ordered = rule.overlaps(hebbian, kernel, ordered=True)
    equal(ordered, [[2, 1], [0, 3]])
    # The first unit sees itself: D = H0 - 2 W0. The second sees both:
    # D = H1 - W0 - 3 W1.
    equal(
        rule.direction(hebbian, kernel, ordered),
        [[0, 0], [4, 0], [-1, -6.5]],
    )
    # In the subspace rule the first also sees the second, D = ... - 4 W1.
    overlaps = rule.overlaps(hebbian, kernel, ordered=False)
    equal(
        rule.direction(hebbian, kernel, overlaps),
        [[0, 0], [0, 0], [-9, -6.5]],
    )


@every_rule
def test_rates_by_hand(ordered):
    # D and Y of the first unit have the norm 13, those of the second 0.5, all
    # of them sqrt(169.25): a rate of 0.5 would move only the second by less
    # than 1.
    direction = tensor([[3, 0], [-4, 0.3]])
    overlaps = tensor([[12, 0.4], [0, 0]])
    rates = rule.rates(
        direction, overlaps, 0.5, tensor([0.1, 0.7]), tensor(0.3), ordered
    )
    if ordered:
        equal(rates, [1 / 13, 0.5])
    else:
        equal(rates, 1 / np.sqrt(169.25))
    rates = rule.rates(
        direction, overlaps, 0.01, tensor([0.1, 0.7]), tensor(0.3), ordered
    )
    equal(rates, [0.01 / 0.4, 0.01] if ordered else 0.01 / 0.7)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e30])
def test_lengths_neither_overflow_nor_vanish(scale):
    matrix = tensor(np.array([[3.0, 0.0], [4.0, 0.0]]) * scale)
    np.testing.assert_allclose(
        ops.convert_to_numpy(rule.length(matrix, 0)),
        [5 * scale, 0],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(rule.length(matrix, None)), 5 * scale, rtol=1e-5
    )


def test_an_average_by_hand():
    equal(rule.average(tensor([1.0, 2.0]), tensor([5.0, 2.0]), 0.25), [2, 2])


def test_arguments_stay_as_they_are():
    given = [tensor(INPUTS), tensor(KERNEL), tensor(INPUTS @ KERNEL)]
    before = [ops.convert_to_numpy(value).copy() for value in given]
    inputs, kernel, response = given
    hebbian, total = rule.sums(inputs, response)
    overlaps = rule.overlaps(hebbian, kernel, ordered=True)
    direction = rule.direction(hebbian, kernel, overlaps)
    rule.rates(direction, overlaps, 0.1, overlaps[0], total, ordered=True)
    for value, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), copy)
