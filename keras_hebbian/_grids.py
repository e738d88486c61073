"""Grids of units, on which neighbours learn together."""

import dataclasses
import functools
import math
import operator
from collections.abc import Sequence

import numpy as np

from keras_hebbian._arguments import Tensor, check_choice, check_integers

TOPOLOGIES = ("rectangular", "hexagonal")


@dataclasses.dataclass(init=False)
class Grid:
    """The units of a map, in a row or in rows and columns.

    Unit `i * columns + j` is at `(i, j)`. On a hexagonal grid the six
    neighbours of a unit are at distance 1: columns are `sqrt(3) / 2` apart, and
    every second column, including the last, is shifted by half a unit.

    Args:
        shape: Integer or a tuple of one or two integers, number of units along
            each axis.
        topology: `"rectangular"` or `"hexagonal"`.
        toroidal: Whether the last unit of an axis is adjacent to the first.

    Raises:
        ValueError: If there is no such grid.
    """

    shape: tuple[int, ...]
    topology: str
    toroidal: bool

    def __init__(
        self,
        shape: int | tuple[int, ...],
        topology: str = "rectangular",
        toroidal: bool = False,
    ) -> None:
        self.shape = check_integers("shape", shape, most=2)
        self.topology = check_choice("topology", topology, TOPOLOGIES)
        self.toroidal = bool(toroidal)
        if self.topology == "hexagonal" and (
            len(self.shape) < 2 or (self.toroidal and self.shape[1] % 2)
        ):
            raise ValueError(
                "Expected `shape` to be (rows, columns) for a hexagonal grid, "
                "with an even number of columns if it is toroidal. "
                f"Received: shape={self.shape}, toroidal={self.toroidal}"
            )

    @property
    def units(self) -> int:
        """The number of units."""
        return math.prod(self.shape)

    @functools.cached_property
    def places(self) -> np.ndarray:
        """The row and column of each unit, `(axes, units)`."""
        places = np.indices(self.shape).reshape(len(self.shape), -1)
        return places.astype("float64")

    @functools.cached_property
    def coordinates(self) -> np.ndarray:
        """The position of each unit along each axis, `(axes, units)`."""
        if self.topology == "rectangular":
            return self.places
        rows, columns = self.places
        shifted = (self.shape[1] - 1 - columns) % 2 == 0
        return np.stack([rows - 0.5 * shifted, columns * math.sqrt(0.75)])

    @property
    def lengths(self) -> list[float]:
        """The length of each axis, in the unit of the coordinates."""
        if self.topology == "rectangular":
            return list(self.shape)
        return [self.shape[0], self.shape[1] * math.sqrt(0.75)]

    def apart(self, one: Tensor, other: Tensor, length: float) -> Tensor:
        """The distance between two positions along an axis of this length."""
        distance = abs(one - other)
        if self.toroidal:
            distance = length / 2 - abs(distance - length / 2)
        return distance

    def adjacent(self, distances: Sequence[Tensor]) -> Tensor:
        """Whether units at these distances along each axis are neighbours.

        A unit has up to eight neighbours on a rectangular grid and six on a
        hexagonal one, and also counts as its own neighbour.
        """
        if self.topology == "rectangular":
            near = [distance < 1.5 for distance in distances]
            return functools.reduce(operator.and_, near)
        return sum(distance * distance for distance in distances) < 1.5

    def neighbors(self, unit: int) -> np.ndarray:
        """The indices of the neighbours of a unit."""
        axes = zip(self.coordinates, self.lengths, strict=True)
        near = self.adjacent(
            [self.apart(at[unit], at, length) for at, length in axes]
        )
        near[unit] = False
        return np.flatnonzero(near)

    @functools.cached_property
    def adjacency(self) -> np.ndarray:
        """Whether two units are neighbours, `(units, units)`."""
        near = np.zeros((self.units, self.units), dtype=bool)
        for unit in range(self.units):
            near[unit, self.neighbors(unit)] = True
        return near

    def distance_map(self, kernel: np.ndarray) -> np.ndarray:
        """The mean distance between the weights of each unit and those of its
        neighbours, `(units,)`."""
        means = np.zeros(self.units)
        for unit in range(self.units):
            near = self.neighbors(unit)
            if near.size:
                apart = kernel[:, near] - kernel[:, [unit]]
                means[unit] = np.linalg.norm(apart, axis=0).mean()
        return means
