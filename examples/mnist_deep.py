"""Two convolutional layers of SoftHebb on MNIST.

    python examples/mnist_deep.py

Two blocks of batch normalization, `Convolution(SoftHebb)`, `Triangle` and
pooling learn together, in one epoch with batches of 10, without labels. Their
arguments are those of the paper for CIFAR-10; the paper does not give those for
MNIST. The readout is linear and trained on frozen features, after one and two
blocks, on random filters, and on two blocks of `HebbianCompetitive` with
default arguments and a rate that decays to 0.
"""

from keras.layers import AveragePooling2D, MaxPooling2D

import deep_network
import experiment
import keras_hebbian as kh
from deep_network import Block

REPORTED = {
    "Journé et al. 2023, SoftHebb": 0.994,
}


def blocks(width: int = 64) -> list[Block]:
    """Two blocks, the second with 4 times as many units."""
    return [
        Block(width, 5, 1, 0.7, 0.08, MaxPooling2D(4, 2, "same")),
        Block(4 * width, 3, 1 / 0.65, 1.4, 0.005, AveragePooling2D(2)),
    ]


class CompetingBlock(Block):
    """A block of units that compete for all of a sample."""

    def local(self) -> kh.HebbianCompetitive:
        """The competing units."""
        return kh.HebbianCompetitive(self.units)


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    network, epochs = (blocks(4), 1) if quick else (blocks(), 30)
    train, test = map(deep_network.with_channels, (train, test))
    yield from deep_network.compare(network, train, test, epochs)
    competing = [CompetingBlock(*block) for block in network]
    model = deep_network.learned(competing, train[0], [kh.LinearRateDecay()])
    yield from deep_network.readouts_of_the_whole(
        "HebbianCompetitive", model, epochs, train, test
    )


if __name__ == "__main__":
    draw = deep_network.filters_and_curves
    experiment.main(run, __doc__, "mnist", REPORTED, draw, flat=False)
