import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_hebbian import _backend


def numpy_of(tensors):
    return [ops.convert_to_numpy(tensor) for tensor in tensors]


def first_and_kth(values, k):
    return numpy_of(_backend.first_and_kth(ops.convert_to_tensor(values), k))


@pytest.mark.parametrize("columns", [4, 100, 512, 521, 640, 2000])
@pytest.mark.parametrize("k", [2, 3, 4])
def test_first_and_kth_are_those_of_a_full_sort(columns, k):
    rng = np.random.default_rng(columns)
    values = rng.permuted(np.tile(np.arange(columns), (30, 1)), axis=1)
    values = values.astype("float32")
    ranked, places = first_and_kth(values, k)
    np.testing.assert_array_equal(ranked[0], columns - 1)
    np.testing.assert_array_equal(ranked[1], columns - k)
    order = np.argsort(-values, axis=1)
    np.testing.assert_array_equal(places, order[:, [0, k - 1]].T)


@given(st.sampled_from([2, 7, 600]), st.integers(0, 3), st.data())
def test_of_equal_values_two_places_are_found(columns, distinct, data):
    k = data.draw(st.integers(2, min(columns, 40)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = rng.integers(0, distinct + 1, (3, columns)).astype("float32")
    ranked, places = first_and_kth(values, k)
    np.testing.assert_array_equal(
        ranked, np.sort(values, axis=1)[:, [-1, -k]].T
    )
    np.testing.assert_array_equal(
        np.take_along_axis(values, places.T, axis=1), ranked.T
    )
    assert (places[0] != places[1]).all()


@pytest.mark.parametrize("narrow", ["bfloat16", "float16"])
def test_a_product_of_narrow_inputs_has_the_dtype_of_the_kernel(narrow):
    rng = np.random.default_rng(0)
    # Whole numbers, which both dtypes hold; their sums only float32 does.
    inputs = rng.integers(-100, 101, (20, 64)).astype("float32")
    kernel = rng.integers(-10, 11, (64, 30)).astype("float32")
    product = _backend.product(
        ops.cast(inputs, narrow), ops.convert_to_tensor(kernel)
    )
    assert keras.backend.standardize_dtype(product.dtype) == "float32"
    rounding = {"bfloat16": 2**-8, "float16": 2**-11}[narrow]
    if keras.backend.backend() == "jax":
        rounding = 0
    error = np.abs(ops.convert_to_numpy(product) - inputs @ kernel)
    assert (error <= rounding * (np.abs(inputs) @ np.abs(kernel))).all()


@pytest.mark.parametrize("shape", [(6,), (6, 4)])
@pytest.mark.usefixtures("float64")
def test_segments_are_summed_one_after_another(shape):
    rng = np.random.default_rng(0)
    # Whole numbers: their sums are exact in float64 alone, in any order.
    rows = rng.integers(-(2**40), 2**40, shape).astype("float64")
    segments = np.array([3, 0, 3, 3, 1, 0])
    total = rng.integers(-(2**40), 2**40, (*shape[1:], 5)).astype("float64")
    expected = total.T.copy()
    np.add.at(expected, segments, rows - 2 * rows[::-1])
    tensors = [
        ops.convert_to_tensor(x.copy())
        for x in (total, rows, rows[::-1], segments)
    ]
    total, rows, others, segments = tensors
    parts = [(1.0, rows, segments), (-2.0, others, segments)]
    (sums,) = numpy_of([_backend.add_segments(total, parts)])
    np.testing.assert_array_equal(sums, expected.T)


def test_small_values_become_zero_but_undefined_ones_stay():
    values = [np.nan, -np.inf, -1, 0.5, 0.5000001, 2, np.inf]
    values = ops.convert_to_tensor(np.array(values, "float32"))
    (found,) = numpy_of([_backend.zero_up_to(values, 0.5)])
    expected = numpy_of([values])[0].copy()
    expected[1:4] = 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("non_negative", [False, True])
@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf, -1.0, 0.0, 3e38])
def test_finite_values_may_have_to_be_non_negative(value, non_negative):
    values = np.linspace(0, 3, 12, dtype="float32").reshape(3, 4)
    values[2, 1] = value
    found = _backend.all_finite(ops.convert_to_tensor(values), non_negative)
    expected = np.isfinite(value) and not (non_negative and value < 0)
    assert bool(found) == expected


@pytest.mark.parametrize("extreme", [-7.0, 7.0])
def test_magnitude_has_no_sign(extreme):
    matrix = np.linspace(-3, 3, 12, dtype="float32").reshape(3, 4)
    matrix[2, 1] = extreme
    (largest,) = numpy_of(
        [_backend.largest_magnitude(ops.convert_to_tensor(matrix))]
    )
    assert largest == 7


def test_a_product_is_added():
    total, one, other = np.random.default_rng(0).normal(size=(3, 2, 5))
    tensors = [ops.convert_to_tensor(x.copy()) for x in (total, one, other)]
    (added,) = numpy_of([_backend.add_product(*tensors)])
    np.testing.assert_allclose(added, total + one * other, rtol=1e-6)
    given = zip(numpy_of(tensors), (total, one, other), strict=True)
    for tensor, value in given:
        np.testing.assert_array_equal(tensor, value.astype(tensor.dtype))
    added = _backend.add_product(*tensors, overwrite=True)
    np.testing.assert_allclose(
        *numpy_of([added]), total + one * other, rtol=1e-6
    )


def test_lengths_of_columns():
    matrix = ops.convert_to_tensor([[3.0, 0.0], [4.0, 0.0]])
    np.testing.assert_array_equal(*numpy_of([_backend.lengths(matrix)]), [5, 0])


def test_all_but_one_value_of_a_row_change_their_sign():
    values = ops.convert_to_tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    chosen = ops.convert_to_tensor([2, 0])
    (changed,) = numpy_of([_backend.negative_except(values, chosen)])
    np.testing.assert_array_equal(changed, [[-1, -2, 3], [4, -5, -6]])


@pytest.mark.parametrize(("first", "expected"), [(True, 1), (False, 2)])
def test_one_dict_is_chosen(first, expected):
    one, two = ({"a": i * ops.ones((2,))} for i in (1, 2))
    chosen = _backend.choose(
        ops.convert_to_tensor(first), lambda: one, lambda: two
    )
    np.testing.assert_array_equal(*numpy_of([chosen["a"]]), expected)


def test_order_in_memory_changes_no_value():
    matrix = np.arange(6.0, dtype="float32").reshape(2, 3)
    together = _backend.columns_together(ops.convert_to_tensor(matrix))
    np.testing.assert_array_equal(*numpy_of([together]), matrix)
    if keras.backend.backend() == "torch":
        assert together.mT.is_contiguous()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("first", "expected"), [(True, 1.0), (False, 2.0)])
def test_one_branch_is_taken(first, expected, compiled):
    def taken(first):
        return _backend.branch(
            first, lambda: ops.ones(()), lambda: 2 * ops.ones(())
        )

    if compiled and keras.backend.backend() == "jax":
        import jax

        taken = jax.jit(taken)
    elif compiled and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        taken = tf.function(taken)
    assert float(taken(ops.convert_to_tensor(first))) == expected


@given(st.integers(1, 9), st.integers(0, 3), st.integers(0, 99))
def test_first_is_the_first_of_the_largest(columns, distinct, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, distinct + 1, (5, columns)).astype("float32")
    largest, places = numpy_of(_backend.first(ops.convert_to_tensor(values)))
    np.testing.assert_array_equal(largest, values.max(axis=1))
    np.testing.assert_array_equal(places, values.argmax(axis=1))


def test_first_stays_within_the_row_where_nothing_can_be_compared():
    values = ops.convert_to_tensor(np.full((2, 3), np.nan, "float32"))
    largest, places = numpy_of(_backend.first(values))
    assert not np.isfinite(largest).any()
    assert ((places >= 0) & (places < 3)).all()


def test_correlation_is_a_product():
    rng = np.random.default_rng(0)
    one, other = rng.random((7, 3)), rng.random((7, 5))
    found = _backend.correlation(
        ops.convert_to_tensor(one), ops.convert_to_tensor(other)
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), one.T @ other, rtol=1e-5
    )
