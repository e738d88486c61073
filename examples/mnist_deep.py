"""Three convolutional layers of SoftHebb on MNIST.

    python examples/mnist_deep.py

The network of `cifar10_deep.py`, with half as many units and the arguments of
the paper for CIFAR-10, learns in one epoch, without labels. The images get a
margin of two pixels, which makes them as large as those of CIFAR-10. The
readout is linear and trained on frozen features, after one, two and three
blocks, on random filters, and on three blocks of `HebbianCompetitive` with
default arguments. It is that of the paper where the row says so, with 30
epochs, and in all other rows a ridge regression on standardized features. It
reads the last block; rows with "last 2 read out" read two. The number of units,
the margin, the penalty and the blocks to read out were chosen on validation
images.
"""

import numpy as np
from keras.layers import AveragePooling2D

import cifar10_deep
import deep_network
import experiment
import keras_hebbian as kh
from deep_network import Block, Readout

REPORTED = {
    "Journé et al. 2023, SoftHebb": 0.994,
}


class CompetingBlock(Block):
    """A block of units that compete for all of a sample."""

    def local(self) -> kh.HebbianCompetitive:
        """The competing units."""
        return kh.HebbianCompetitive(self.units)


def padded(split: experiment.Split) -> experiment.Split:
    """Images with a margin of 2 pixels and an axis of channels, and labels."""
    images, labels = deep_network.with_channels(split)
    return np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)]), labels


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    network, epochs = (
        (cifar10_deep.blocks(4), 1) if quick else (cifar10_deep.blocks(48), 30)
    )
    readout = Readout(
        epochs,
        penalty=0.05,
        poolings=(AveragePooling2D(2), AveragePooling2D(5, 4, "same")),
    )
    train, test = map(padded, (train, test))
    yield from deep_network.compare(network, train, test, readout)
    competing = [CompetingBlock(*block) for block in network]
    model = deep_network.learned(competing, train[0])
    yield from deep_network.readouts_of_the_whole(
        "HebbianCompetitive", model, train, test, readout
    )


if __name__ == "__main__":
    draw = deep_network.filters_and_curves
    experiment.main(run, __doc__, "mnist", REPORTED, draw, flat=False)
