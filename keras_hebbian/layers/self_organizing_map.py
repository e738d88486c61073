"""Kohonen's self-organizing map as a layer."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hebbian._arguments import Tensor, check_choice
from keras_hebbian._backend import lengths
from keras_hebbian._grids import Grid
from keras_hebbian._replicas import check_one_replica, sum_over_replicas
from keras_hebbian.layers.kernel_layer import KernelLayer
from keras_hebbian.layers.rate import Rate
from keras_hebbian.rules import self_organizing_map as rule

BATCH = 1024
"""Samples whose distances are computed at once."""


@keras.saving.register_keras_serializable(package="keras_hebbian")
class SelfOrganizingMap(KernelLayer):
    """Kohonen's map: units on a grid, where neighbours learn together.

    The winner of a sample, the unit with the closest weights, moves towards
    the sample, and its neighbours on the grid move with it. Neighbours become
    similar, and the grid becomes a map of the data. Learning happens in
    `call(training=True)`: in `fit` of `HebbianSequential` and `HebbianModel`,
    and of any Keras model that has a loss.

    The neighbourhood must shrink while the map learns: pass
    `LinearRateDecay()` to `fit`, which decays `sigma` and `learning_rate`
    together. With a constant `sigma`, as wide as the default, the map learns
    little more than the mean of the data.

    Formula:

    ```
    d[b, u]  = -||x[b] - W[:, u]||^2
    v[b]     = argmax_u d[b, u]
    h[b, u]  = exp(-r(v[b], u)^2 / (2 sigma^2))         "gaussian"
    h[b, u]  = 1 if u is within sigma of v[b], else 0   "bubble"

    a[u]     = 1 - prod_b (1 - learning_rate h[b, u])
    W[:, u] += a[u] (sum_b h[b, u] x[b] / sum_b h[b, u] - W[:, u])

    outputs  = activation(d)
    ```

    `x` is a batch of inputs `(batch, inputs)`, `W` the kernel
    `(inputs, units)`, `d` the drives (the quantity the units compete by) and
    `h` the neighbourhood, both `(batch, units)`, `v` the winners and `r` the
    distance of two units on the grid. All of them are dimensionless. Sums and
    products over `b` run over the global batch of all data-parallel replicas.

    `update="batch"` is this rule. A unit moves towards the weighted mean of
    the samples, as in Kohonen's batch map, by as much as the same samples would
    move it one after another. Progress therefore depends on the number of
    samples and hardly on the batch size, and no unit moves too far.
    `update="sequential"` processes the samples one after another,

    ```
    W[:, u] += learning_rate h[b, u] (x[b] - W[:, u])
    ```

    and finds each winner with the kernel after the previous sample. This is
    exactly MiniSom's update, but much slower. For batches of one sample both
    are the same. Outputs are those of the kernel before the batch.

    The outputs are negative squared distances, so that the largest output
    wins, as for all layers of this package, and gradients reach the layers
    below. `activation="softmax"` turns them into shares that sum to 1, a
    `Triangle` layer on top into sparse features, like those that Coates, Lee
    and Ng make from distances.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> layer = kh.SelfOrganizingMap((3, 4), topology="hexagonal")
    >>> outputs = layer(np.random.rand(20, 6), training=True)
    >>> tuple(outputs.shape), tuple(layer.kernel.shape)
    ((20, 12), (6, 12))

    Args:
        shape: Integer or a tuple of one or two integers, the number of units in
            a row, or of rows and columns of the grid. Unit `i * columns + j` is
            in row i and column j.
        topology: `"rectangular"` or `"hexagonal"`, where each unit has six
            neighbours at distance 1. Defaults to `"rectangular"`.
        toroidal: Whether the last row and column are adjacent to the first. A
            hexagonal grid then needs an even number of columns. Defaults to
            `False`.
        neighborhood: `"gaussian"`, which decreases with the distance on the
            grid, or `"bubble"`, a block of rows and columns less than `sigma`
            away, on hexagonal grids as well. Defaults to `"gaussian"`.
        sigma: Float >= 0, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the layer's
            `iterations`: radius of the neighbourhood, in units of the grid. A
            float becomes the assignable weight `layer.sigma`; at 0 only the
            winner learns. Defaults to `None`: half the longer side.
        learning_rate: Float >= 0 or schedule, the fraction of its distance to a
            sample that the winner moves. With `update="batch"`, a product
            `learning_rate * h` above 1 counts as 1. A float becomes the
            assignable weight `layer.learning_rate`. Defaults to `0.5`.
        update: `"batch"` or `"sequential"`. Defaults to `"batch"`.
        activation: Activation function of the outputs, which learning does
            not use. Defaults to `None`, the negative squared distances.
        kernel_initializer: Initializer of the kernel. The map forgets it while
            the neighbourhood is wide. Defaults to `"glorot_normal"`.
        kernel_constraint: Constraint that the layer applies to the kernel
            after each step. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of rank >= 2, `(..., inputs)`. All axes but the last are
            samples. Integers are cast to floats.
        training: Whether the layer learns from `inputs`. Batches with NaN or
            infinite values, or whose distances would overflow, are skipped and
            counted in `layer.skipped`.

    Input shape:
        `(batch, ..., inputs)`

    Output shape:
        `(batch, ..., units)`, where `units` is the number of units of the
        grid.

    Raises:
        ValueError: If an argument is out of range, if inputs have rank 1, if
            their last dimension is unknown, or if `update="sequential"` is used
            on several replicas.
        TypeError: If a rate is assigned after it was given as a schedule.

    Reference:
        Kohonen, "Self-organized formation of topologically correct feature
        maps", Biological Cybernetics 43:59, 1982. Kohonen, "Essentials of the
        self-organizing map", Neural Networks 37:52, 2013. Vettigli, MiniSom,
        https://github.com/JustGlowing/minisom
    """

    MEMORY = 1000
    """Samples over which the reported `quantization_error` is averaged."""

    learning_rate = Rate()
    sigma = Rate()
    state_names = ("kernel", "distance")

    def __init__(
        self,
        shape: int | tuple[int, ...],
        topology: str = "rectangular",
        toroidal: bool = False,
        neighborhood: str = "gaussian",
        sigma: Any = None,
        learning_rate: Any = 0.5,
        update: str = "batch",
        activation: Any = None,
        kernel_initializer: Any = "glorot_normal",
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        grid = Grid(shape, topology, toroidal)
        if grid.units < 2:
            raise ValueError(
                "Expected `shape` with at least two units. "
                f"Received: shape={shape}"
            )
        super().__init__(
            grid.units,
            activation=activation,
            kernel_initializer=kernel_initializer,
            kernel_constraint=kernel_constraint,
            **kwargs,
        )
        self.grid = grid
        self.shape = grid.shape
        self.topology = grid.topology
        self.toroidal = grid.toroidal
        self.neighborhood = check_choice(
            "neighborhood", neighborhood, rule.NEIGHBORHOODS
        )
        self.sigma = max(self.shape) / 2 if sigma is None else sigma
        self.learning_rate = learning_rate
        self.update = check_choice("update", update, ("batch", "sequential"))
        self.needs_response = self.update == "batch"

    def build_state(self, input_dim: int) -> None:
        super().build_state(input_dim)
        self.distance = self.add_state("distance", (), "zeros")

    def respond(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        # Not in 16 bits: the differences of distances would be lost.
        return rule.drives(inputs, state["kernel"])

    def learn(
        self,
        inputs: Tensor,
        response: Tensor | None,
        state: dict[str, Tensor],
        rates: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        arguments = (
            self.grid,
            self.neighborhood,
            rates["sigma"],
            rates["learning_rate"],
        )
        kernel = state["kernel"]
        if self.update == "sequential":
            check_one_replica()
            kernel, total, samples = rule.one_by_one(inputs, kernel, *arguments)
        else:
            added = sum_over_replicas(rule.sums(inputs, response, *arguments))
            kernel = rule.step(kernel, added)
            total, samples = added.distance, added.samples
        kept = ops.exp(-samples / self.MEMORY)
        kept = kept * ops.cast(self.iterations.value > 0, kept.dtype)
        recent = kept * state["distance"] + (1 - kept) * (total / samples)
        return {"kernel": self.constrain(kernel), "distance": recent}

    def sound(self, inputs: Tensor, learned: dict[str, Tensor]) -> Tensor:
        """Whether the distances from the winners were finite, and those from
        the new weights will be, a scalar."""
        squares = ops.sum(lengths(learned["kernel"]) ** 2)
        return ops.isfinite(learned["distance"] + squares)

    def report(self) -> dict[str, Tensor]:
        """`quantization_error`: mean distance of recent samples from their
        winners, before the layer learned from them."""
        return {"quantization_error": self.distance.value}

    def measures(self, drives: Tensor) -> dict[str, Tensor]:
        """`quantization_error` and `topographic_error` of the data."""
        return {
            "quantization_error": rule.quantization_error(drives),
            "topographic_error": rule.topographic_error(drives, self.grid),
        }

    def quantization_error(self, inputs: Any) -> float:
        """The mean distance of samples from their winners.

        Args:
            inputs: Array `(..., inputs)`.

        Returns:
            The error, in the unit of the inputs.

        Raises:
            ValueError: If the layer has not been built, if the last dimension
                of the inputs does not match, or if there are no samples.
        """
        return self._mean_over(inputs, "quantization_error")

    def topographic_error(self, inputs: Any) -> float:
        """The fraction of samples whose two closest units are not neighbours.

        Neighbours are the eight units around a unit of a rectangular grid,
        and the six around a unit of a hexagonal grid.

        Args:
            inputs: Array `(..., inputs)`.

        Returns:
            The error, between 0 and 1.

        Raises:
            ValueError: As `quantization_error`.
        """
        return self._mean_over(inputs, "topographic_error")

    def distance_map(self) -> np.ndarray:
        """The U-matrix: the mean Euclidean distance between the weights of each
        unit and those of its neighbours.

        Returns:
            Array of the shape of the grid.

        Raises:
            ValueError: If the layer is not built.

        Reference:
            Ultsch and Siemon, "Kohonen's self organizing feature maps for
            exploratory data analysis", INNC 1990.
        """
        self._check_built()
        kernel = ops.convert_to_numpy(self.kernel)
        return self.grid.distance_map(kernel).reshape(self.shape)

    def _mean_over(self, inputs: Any, measure: str) -> float:
        inputs = ops.convert_to_numpy(inputs)
        self._check_inputs(inputs.shape)
        inputs = inputs.reshape(-1, inputs.shape[-1])
        if not len(inputs):
            raise ValueError(
                "Expected at least one sample. "
                f"Received: inputs.shape={inputs.shape}"
            )
        total = 0.0
        for start in range(0, len(inputs), BATCH):
            batch = inputs[start : start + BATCH]
            error = self.measures(self.competition(batch))[measure]
            total += len(batch) * float(ops.convert_to_numpy(error))
        return total / len(inputs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["units"]
        return {
            **config,
            "shape": self.shape,
            "topology": self.topology,
            "toroidal": self.toroidal,
            "neighborhood": self.neighborhood,
            "update": self.update,
        }
