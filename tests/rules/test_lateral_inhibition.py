import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from scipy.special import logit

from keras_hebbian.rules import lateral_inhibition as rule


def state_of(kernel, threshold, inhibition):
    return rule.State(
        *(
            ops.convert_to_tensor(np.asarray(part, dtype="float32"))
            for part in (kernel, threshold, inhibition)
        )
    )


def numpy_of(parts):
    return [ops.convert_to_numpy(part) for part in parts]


def random_state(seed=0, inputs=6, units=4):
    rng = np.random.default_rng(seed)
    inhibition = rng.normal(size=(units, units))
    np.fill_diagonal(inhibition, 0)
    kernel = rng.uniform(0.1, 1, (inputs, units))
    return state_of(kernel, rng.normal(size=units) + 2, inhibition)


def sums_of(inputs, state, sparsity=0.1):
    inputs = ops.convert_to_tensor(np.asarray(inputs, dtype="float32"))
    outputs = ops.sigmoid(rule.settle(inputs, state))
    return rule.sums(inputs, outputs, state.kernel, sparsity, precision=1e-10)


def test_inhibition_acts_from_its_column_onto_its_row():
    # Unit 0 is surely on before inhibition, and only inhibition[1, 0] is set.
    state = state_of([[1, 1]], [-100, 0], [[0, 0], [3, 0]])
    (logits,) = numpy_of([rule.settle(ops.ones((1, 1)), state)])
    np.testing.assert_allclose(logits, [[101, 1 - 3]])


def test_sums_by_hand():
    # One unit pair whose activity is 1/2 and 1/4, on two inputs.
    state = state_of(
        [[0.5, 1.0], [2.0, 4.0]],
        [0.5 * 3 + 2.0 * 1, 1.0 * 3 + 4.0 * 1 - logit(0.25)],
        np.zeros((2, 2)),
    )
    added, activity, samples = sums_of([[3.0, 1.0]], state)
    assert float(samples) == 1
    kernel, threshold, inhibition = numpy_of(added)
    reconstruction = np.array([0.5 * 0.5 + 0.25 * 1, 0.5 * 2 + 0.25 * 4])
    error = ([3.0, 1.0] - reconstruction) / reconstruction  # 5 and -1/2
    np.testing.assert_allclose(kernel, np.outer(error, [0.5, 0.25]), rtol=1e-5)
    np.testing.assert_allclose(threshold, [0.4, 0.15], rtol=1e-5)
    np.testing.assert_allclose(
        inhibition,
        [[0.25 - 0.01, 0.125 - 0.01], [0.125 - 0.01, 0.0625 - 0.01]],
        rtol=1e-5,
    )
    np.testing.assert_allclose(numpy_of([activity])[0], [0.5, 0.25], rtol=1e-5)


def test_step_by_hand():
    state = state_of([[2, 4], [1e-3, 3]], [1, 2], [[0, 0.5], [-0.5, 0]])
    added = state_of([[10, -10], [-0.95, 0.1]], [2, -1], [[9, 1], [1, 9]])
    rates = rule.State(1.0, 0.5, 0.1)
    new = rule.step(state, added, rates, precision=1e-4, growth=(0.5, 2.0))
    kernel, threshold, inhibition = numpy_of(new)
    np.testing.assert_allclose(kernel, [[4, 2], [5e-4, 3.3]], rtol=1e-6)
    np.testing.assert_allclose(threshold, [2, 1.5])
    np.testing.assert_allclose(inhibition, [[0, 0.6], [-0.4, 0]], rtol=1e-6)

    new = rule.step(state, added, rates, precision=1e-3, non_negative=True)
    kernel, _, inhibition = numpy_of(new)
    np.testing.assert_allclose(kernel, [[22, 0], [0, 3.3]], rtol=1e-6)
    np.testing.assert_allclose(inhibition, [[0, 0.6], [0, 0]], rtol=1e-6)

    nothing = state_of(np.zeros((2, 2)), np.zeros(2), np.zeros((2, 2)))
    kernel, *_ = rule.step(state, nothing, rates, precision=2)
    np.testing.assert_array_equal(numpy_of([kernel])[0], [[0, 4], [0, 3]])


@given(arrays("float32", (8, 6), elements=st.floats(0, 2, width=32)))
def test_sums_of_parts_add_up(inputs):
    state = random_state()

    def total(part):
        added, *rest = sums_of(part, state)
        return numpy_of((*added, *rest))

    parts = zip(total(inputs[:3]), total(inputs[3:]), strict=True)
    for (first, second), whole in zip(parts, total(inputs), strict=True):
        np.testing.assert_allclose(first + second, whole, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("non_negative", [False, True])
def test_one_by_one_equals_batches_of_one(non_negative):
    inputs = np.random.default_rng(1).random((5, 6), dtype="float32")
    rates = state_of(0.1, 0.2, 0.3)
    expected, activities = random_state(), []
    for sample in inputs:
        added, active, _ = sums_of(sample[None], expected)
        activities.append(ops.convert_to_numpy(active))
        expected = rule.step(
            expected, added, rates, 0.1, non_negative=non_negative
        )
    state, activity, samples = rule.one_by_one(
        ops.convert_to_tensor(inputs),
        random_state(),
        rates,
        0.1,
        0.1,
        non_negative,
    )
    assert (ops.convert_to_numpy(state.inhibition) < 0).any() != non_negative
    for mine, part in zip(numpy_of(state), numpy_of(expected), strict=True):
        np.testing.assert_allclose(mine, part, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        ops.convert_to_numpy(activity), sum(activities), rtol=1e-5
    )
    assert float(samples) == 5


@pytest.mark.parametrize("size", [0, 1e-30, 1e-20, 1e-18, 1.0, 1e18])
def test_no_sample_is_scaled_beyond_the_norm(size):
    sample = np.array([[0.6 * size, 0.8 * size]], "float32")
    scaled = rule.scaled(ops.convert_to_tensor(sample), 16.0)
    expected = min(1.0, size / 1e-19) * np.array([[9.6, 12.8]])
    np.testing.assert_allclose(numpy_of([scaled])[0], expected, rtol=1e-3)
