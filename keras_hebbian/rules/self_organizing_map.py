"""Kohonen's self-organizing map, as pure functions.

Symbols, all dimensionless, `b` a sample, `i` an input, `u`, `v` units:

- `x[b, i]`: inputs, `(batch, inputs)`
- `W[i, u]`: kernel, `(inputs, units)`
- `d[b, u] = -||x[b] - W[:, u]||^2`: drives (the quantity the units compete
  by), `(batch, units)`
- `v[b]`: winner of a sample, the unit with the largest drive, `(batch,)`
- `h[b, u]`: neighbourhood, how much unit u learns when `v[b]` wins,
  `(batch, units)`; 1 for the winner itself
- `rate`: learning rate, per sample
- `sigma`: radius of the neighbourhood, in units of the grid

A grid is the attribute `grid` of a `keras_hebbian.SelfOrganizingMap`. It has
the row, column and coordinates of each unit, and knows which are neighbours.

Reference:
    Kohonen, "Self-organized formation of topologically correct feature maps",
    Biological Cybernetics 43:59, 1982. Kohonen, "Essentials of the
    self-organizing map", Neural Networks 37:52, 2013. Neighbourhoods and
    measures are those of MiniSom 2.3, https://github.com/JustGlowing/minisom
"""

import functools
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_hebbian._arguments import Tensor
from keras_hebbian._backend import (
    add_product,
    bounded,
    correlation,
    first,
    first_and_kth,
    lengths,
    one_after_another,
)
from keras_hebbian._grids import Grid
from keras_hebbian.rules.competitive import LEAST

NEIGHBORHOODS = ("gaussian", "bubble")


class Sums(NamedTuple):
    """Sums over a batch; those of its parts add up to those of the whole."""

    inputs: Tensor  # sum_b h[b, u] x[b, i], (inputs, units)
    shares: Tensor  # sum_b h[b, u], (units,)
    stays: Tensor  # sum_b log(1 - rate h[b, u]), (units,)
    distance: Tensor  # sum_b of the winner's distance, ()
    samples: Tensor  # ()


def drives(inputs: Tensor, kernel: Tensor) -> Tensor:
    """`d[b, u] = -||x[b] - W[:, u]||^2`, `(..., units)`.

    The squared distance is the sum of both squares minus twice the product.
    Inputs and weights are taken relative to the mean of all units, so that
    little precision is lost if data lie far from 0.
    """
    center = ops.sum(kernel, axis=1) / kernel.shape[1]  # (inputs,)
    inputs = inputs - center
    kernel = kernel - center[:, None]
    squares = ops.sum(inputs * inputs, axis=-1, keepdims=True)
    others = lengths(kernel) ** 2  # (units,)
    return -ops.relu(squares + others - 2 * (inputs @ kernel))


def neighborhood(
    winners: Tensor, grid: Grid, kind: str, sigma: Tensor
) -> Tensor:
    """How much each unit learns when the given units win, `(..., units)`.

    `"gaussian"`: `exp(-r^2 / (2 sigma^2))` with the distance r on the grid.
    `"bubble"`: 1 where rows and columns both differ by less than `sigma`,
    else 0, on hexagonal grids as well. The winner itself always learns.

    Args:
        winners: Indices of units, `(...)`.
        grid: Grid of the units.
        kind: `"gaussian"` or `"bubble"`.
        sigma: Radius, a scalar tensor in the dtype of the result.
    """
    if kind == "bubble":
        sigma = bounded(sigma, LEAST)  # the winner is at 0
        near = [
            ops.cast(distance < sigma, sigma.dtype)
            for distance in _distances(
                winners, grid, grid.places, grid.shape, sigma.dtype
            )
        ]
        return functools.reduce(operator.mul, near)
    squares = [
        distance * distance
        for distance in _distances(
            winners, grid, grid.coordinates, grid.lengths, sigma.dtype
        )
    ]
    scale = -0.5 / bounded(sigma * sigma, LEAST)
    return ops.exp(scale * functools.reduce(operator.add, squares))


def _distances(
    winners: Tensor,
    grid: Grid,
    positions: np.ndarray,
    axis_lengths: Sequence[float],
    dtype: str,
) -> list[Tensor]:
    """Distances of winners from all units, `(..., units)` for each axis."""
    units = ops.convert_to_tensor(positions, dtype)  # (axes, units)
    chosen = ops.take(units, winners, axis=1)[..., None]
    return [
        grid.apart(chosen[axis], units[axis], length)
        for axis, length in enumerate(axis_lengths)
    ]


def sums(
    inputs: Tensor,
    drives: Tensor,
    grid: Grid,
    kind: str,
    sigma: Tensor,
    rate: Tensor,
) -> Sums:
    """The sums over a batch that `step` learns from."""
    largest, winners = first(drives)
    share = neighborhood(winners, grid, kind, sigma)  # (batch, units)
    moved = ops.clip(-rate * share, -1.0, 0.0)
    return Sums(
        correlation(inputs, share),
        ops.sum(share, axis=0),
        ops.sum(ops.log1p(moved), axis=0),
        ops.sum(ops.sqrt(-largest)),
        ops.cast(ops.shape(inputs)[0], drives.dtype),
    )


def step(kernel: Tensor, added: Sums) -> Tensor:
    """The kernel after a batch.

    ```
    W[:, u] += a[u] * (sum_b h[b, u] x[b] / sum_b h[b, u] - W[:, u])
    a[u]     = 1 - prod_b (1 - rate h[b, u])
    ```

    Each unit moves towards the mean of the samples, weighted by its
    neighbourhood, by as much as the samples would move it one after another.
    """
    stays = ops.exp(added.stays)
    # Not `1 - stays`, which rounds to 0 if a unit hardly moves.
    moves = -ops.expm1(added.stays)
    scale = moves / bounded(added.shares, LEAST)
    return add_product(stays * kernel, added.inputs, scale)


def one_by_one(
    inputs: Tensor,
    kernel: Tensor,
    grid: Grid,
    kind: str,
    sigma: Tensor,
    rate: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The kernel after the samples of a batch, learned one after another.

    ```
    W[:, u] += rate * h[b, u] * (x[b] - W[:, u])
    ```

    Returns:
        The kernel, the sum of the winners' distances, and the number of
        samples, both scalars.
    """

    def learn_sample(
        sample: Tensor, carried: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        kernel, total = carried
        apart = sample[:, None] - kernel
        squares = ops.sum(apart * apart, axis=0)  # (units,)
        nearest, winner = first(-squares[None])  # LiteRT has no `argmin`
        share = neighborhood(winner[0], grid, kind, sigma)
        total = total + ops.sqrt(-nearest[0])
        return kernel + rate * share * apart, total

    none = ops.zeros((), kernel.dtype)
    kernel, total = one_after_another(learn_sample, inputs, (kernel, none))
    return kernel, total, ops.cast(ops.shape(inputs)[0], kernel.dtype)


def quantization_error(drives: Tensor) -> Tensor:
    """The mean distance of the samples from their winners, a scalar.

    Args:
        drives: `(samples, units)`.
    """
    largest, _ = first(drives)
    samples = ops.cast(ops.shape(drives)[0], drives.dtype)
    return ops.sum(ops.sqrt(-largest)) / samples


def topographic_error(drives: Tensor, grid: Grid) -> Tensor:
    """The share of samples whose two closest units are not neighbours.

    Neighbours are the eight units around a unit of a rectangular grid and the
    six around one of a hexagonal grid.

    Args:
        drives: `(samples, units)`.
        grid: Grid of the units, two or more.
    """
    _, (best, second) = first_and_kth(drives, 2)
    distances = []
    for at, length in zip(grid.coordinates, grid.lengths, strict=True):
        at = ops.convert_to_tensor(at, drives.dtype)
        one, other = (ops.take(at, each, axis=0) for each in (best, second))
        distances.append(grid.apart(one, other, length))
    near = ops.cast(grid.adjacent(distances), drives.dtype)
    return 1 - ops.sum(near) / ops.cast(ops.shape(near)[0], drives.dtype)
