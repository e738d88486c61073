import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_hebbian._grids import Grid
from keras_hebbian.rules import self_organizing_map as rule

GRIDS = [
    Grid(*given)
    for given in (
        (7,),
        (7, "rectangular", True),
        ((3, 4),),
        ((5, 3), "rectangular", True),
        ((4, 5), "hexagonal"),
        ((4, 4), "hexagonal"),
        ((5, 4), "hexagonal", True),
    )
]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)


def tensor(values):
    return ops.convert_to_tensor(np.asarray(values, dtype="float32"))


def numpy(values):
    return ops.convert_to_numpy(values)


def positions(grid):
    """Of each unit on the plane, worked out one by one."""
    if len(grid.shape) == 1:
        return np.array([(i, 0.0) for i in range(grid.shape[0])])
    rows, columns = grid.shape
    found = []
    for i, j in itertools.product(range(rows), range(columns)):
        if grid.topology == "rectangular":
            found.append((i, j))
        else:
            odd = (columns - 1 - j) % 2
            found.append((i - 0.5 * (1 - odd), j * np.sin(np.pi / 3)))
    return np.array(found, dtype="float64")


def distances(grid):
    """Of all pairs of units, `(units, units)`, over all ways round a torus."""
    at = positions(grid)
    rows, columns = (*grid.shape, 1)[:2]
    height = np.sin(np.pi / 3) if grid.topology == "hexagonal" else 1.0
    turns = (-1, 0, 1) if grid.toroidal else (0,)
    return np.min(
        [
            np.linalg.norm(
                at[:, None] - at + [i * rows, j * columns * height], axis=-1
            )
            for i, j in itertools.product(turns, turns)
        ],
        axis=0,
    )


@every_grid
def test_the_gaussian_falls_with_the_distance(grid):
    found = rule.neighborhood(
        ops.arange(grid.units), grid, "gaussian", tensor(1.3)
    )
    expected = np.exp(-(distances(grid) ** 2) / (2 * 1.3**2))
    np.testing.assert_allclose(numpy(found), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
def test_a_bubble_is_a_block_of_rows_and_columns(topology):
    grid = Grid((4, 6), topology)
    wins = ops.convert_to_tensor([2 * 6 + 1])
    found = rule.neighborhood(wins, grid, "bubble", tensor(2))
    block = np.zeros((4, 6))
    block[1:4, 0:3] = 1
    np.testing.assert_array_equal(numpy(found)[0].reshape(4, 6), block)
    round_the_torus = rule.neighborhood(
        wins,
        Grid((4, 6), topology, toroidal=True),
        "bubble",
        tensor(3),
    )
    block[:, 0:4] = 1
    block[:, 5] = 1
    np.testing.assert_array_equal(
        numpy(round_the_torus)[0].reshape(4, 6), block
    )


@pytest.mark.parametrize("kind", rule.NEIGHBORHOODS)
@pytest.mark.parametrize("sigma", [1e-30, 0.0, 1e30])
def test_the_winner_always_learns(kind, sigma):
    grid = Grid((3, 4))
    found = numpy(rule.neighborhood(ops.arange(12), grid, kind, tensor(sigma)))
    assert np.isfinite(found).all()
    expected = np.eye(12) if sigma < 1 else np.ones((12, 12))
    np.testing.assert_array_equal(found, expected)


@every_grid
def test_neighbours_are_the_closest_units(grid):
    """One step away; on a rectangular grid also by a diagonal step."""
    reach = 1.5 if grid.topology == "rectangular" else 1.1
    if len(grid.shape) == 1:
        reach = 1.1
    far = distances(grid) + 10 * np.eye(grid.units)
    for unit in range(grid.units):
        np.testing.assert_array_equal(
            grid.neighbors(unit), np.flatnonzero(far[unit] < reach)
        )


def test_a_torus_has_no_border():
    for grid, count in (
        (Grid((5, 4), toroidal=True), 8),
        (Grid((5, 4), "hexagonal", toroidal=True), 6),
        (Grid(5, toroidal=True), 2),
    ):
        found = {len(grid.neighbors(unit)) for unit in range(grid.units)}
        assert found == {count}


def test_drives_by_hand():
    kernel = tensor([[0.0, 3.0], [1.0, 5.0]])
    inputs = tensor([[0.0, 1.0], [3.0, 1.0]])
    np.testing.assert_allclose(
        numpy(rule.drives(inputs, kernel)), [[0, -25], [-9, -16]], atol=1e-5
    )


@given(st.sampled_from([0.0, 1.0, -300.0, 1e4]), st.integers(0, 5))
def test_drives_keep_their_precision_far_from_0(offset, seed):
    rng = np.random.default_rng(seed)
    kernel = (offset + rng.normal(size=(6, 5))).astype("float32")
    inputs = (offset + rng.normal(size=(9, 6))).astype("float32")
    apart = inputs[..., None].astype("float64") - kernel
    np.testing.assert_allclose(
        numpy(rule.drives(tensor(inputs), tensor(kernel))),
        -(apart**2).sum(axis=1),
        rtol=1e-3,
        atol=2e-3,
    )


def learned(inputs, kernel, grid, sigma=1.0, rate=0.5):
    """The kernel after a batch, and what it added up to."""
    inputs, kernel = tensor(inputs), tensor(kernel)
    added = rule.sums(
        inputs,
        rule.drives(inputs, kernel),
        grid,
        "gaussian",
        tensor(sigma),
        tensor(rate),
    )
    return numpy(rule.step(kernel, added)), added


def test_a_step_by_hand():
    # Two samples, won by units 0 and 2; h = exp(-1 / 2) for unit 1 twice.
    kernel, added = learned([[0.0], [4.0]], [[0.5, 1.0, 3.0]], Grid(3))
    far, near = np.exp(-4 / 2), np.exp(-1 / 2)
    moves = [1 - 0.5 * (1 - far / 2), 1 - (1 - near / 2) ** 2]
    means = [4 * far / (1 + far), 2.0, 4 / (1 + far)]
    expected = [
        0.5 + moves[0] * (means[0] - 0.5),
        1.0 + moves[1] * (means[1] - 1.0),
        3.0 + moves[0] * (means[2] - 3.0),
    ]
    np.testing.assert_allclose(kernel[0], expected, rtol=1e-5)
    assert float(added.distance) == pytest.approx(0.5 + 1.0)
    assert float(added.samples) == 2


def test_without_neighbours_and_with_rate_1_winners_become_means():
    """A step of k-means. Who wins nothing stays."""
    rng = np.random.default_rng(0)
    inputs, kernel = rng.random((40, 3)), rng.random((3, 12))
    kernel[:, 8:] += 9  # far away from all samples
    found, _ = learned(inputs, kernel, Grid((3, 4)), sigma=1e-3, rate=1.0)
    apart = inputs[..., None] - kernel
    winners = (apart**2).sum(axis=1).argmin(axis=1)
    assert set(winners) <= set(range(8))
    for unit in range(12):
        own = inputs[winners == unit]
        expected = own.mean(axis=0) if len(own) else kernel[:, unit]
        np.testing.assert_allclose(found[:, unit], expected, rtol=1e-5)


@given(st.sampled_from([1, 11]), st.integers(0, 5))
def test_sums_of_parts_add_up_whatever_their_order(size, seed):
    rng = np.random.default_rng(seed)
    inputs, kernel = rng.random((30, 4)), rng.random((4, 6))
    whole, added = learned(inputs, kernel, Grid((2, 3)))
    shuffled = rng.permutation(inputs)
    parts = [
        learned(part, kernel, Grid((2, 3)))[1]
        for part in (shuffled[:size], shuffled[size:])
    ]
    total = rule.Sums(*(one + other for one, other in zip(*parts, strict=True)))
    for mine, its in zip(total, added, strict=True):
        np.testing.assert_allclose(numpy(mine), numpy(its), rtol=1e-4)
    np.testing.assert_allclose(
        numpy(rule.step(tensor(kernel), total)), whole, rtol=1e-4
    )


@given(
    st.floats(0, 1e6), st.sampled_from([0.0, 0.3, 1.0, 50.0]), st.integers(0, 5)
)
def test_no_unit_leaves_the_range_of_the_data(rate, sigma, seed):
    rng = np.random.default_rng(seed)
    inputs, kernel = rng.normal(size=(50, 3)), rng.normal(size=(3, 12))
    found, _ = learned(inputs, kernel, Grid((3, 4), "hexagonal"), sigma, rate)
    everything = np.concatenate([inputs.T, kernel], axis=1)
    highest, lowest = everything.max(axis=1), everything.min(axis=1)
    assert (found.max(axis=1) <= highest + 1e-5).all()
    assert (found.min(axis=1) >= lowest - 1e-5).all()


def test_errors_by_hand():
    # The closest two units of the samples are (0, 1), (2, 0) and (5, 2).
    drives = tensor(
        [
            [-1.0, -4.0, -9.0, -16.0, -9.0, -9.0],
            [-4.0, -9.0, -4.0 + 1e-3, -16.0, -9.0, -9.0],
            [-16.0, -9.0, -5.0, -16.0, -9.0, 0.0],
        ]
    )
    error = float(rule.quantization_error(drives))
    assert error == pytest.approx((1 + 2 + 0) / 3, abs=1e-3)
    for grid, expected in (
        (Grid((2, 3)), 1 / 3),
        (Grid(6), 2 / 3),
        (Grid((3, 2)), 0),
        (Grid(6, toroidal=True), 2 / 3),
        (Grid((2, 3), toroidal=True), 0),
    ):
        error = float(rule.topographic_error(drives, grid))
        assert error == pytest.approx(expected, abs=1e-6), grid


@pytest.mark.parametrize(
    "arguments",
    [
        {"shape": 0},
        {"shape": (3, 0)},
        {"shape": (2, 2, 2)},
        {"shape": ()},
        {"shape": 2.0},
        {"shape": "4"},
        {"topology": "triangular"},
        {"shape": 5, "topology": "hexagonal"},
        {"shape": (4, 3), "topology": "hexagonal", "toroidal": True},
    ],
    ids=str,
)
def test_what_is_no_grid_is_refused(arguments):
    with pytest.raises(ValueError, match=r"Expected `.*Received: "):
        Grid(**{"shape": (3, 4), **arguments})
