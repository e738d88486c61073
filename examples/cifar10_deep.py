"""Three convolutional layers of SoftHebb on CIFAR-10.

    python examples/cifar10_deep.py

The network of "Hebbian deep learning without feedback": three blocks of batch
normalization, `Convolution(SoftHebb)`, `Triangle` and pooling learn at once, in
one epoch of batches of 10, without labels. The readout is linear and trained on
frozen features, after one, two and three blocks, and on random filters.
"""

from keras.layers import AveragePooling2D, MaxPooling2D

import deep_network
import experiment
from deep_network import Block

REPORTED = {
    "Journé et al. 2023, SoftHebb": 0.8031,
    "an independent run, random filters": 0.6859,
    "an independent run, backpropagation": 0.8711,
}


def blocks(width: int = 96) -> list[Block]:
    """The blocks of the paper, with `width`, 4 and 16 times as many units."""
    return [
        Block(width, 5, 1, 0.7, 0.08, MaxPooling2D(4, 2, "same")),
        Block(4 * width, 3, 1 / 0.65, 1.4, 0.005, MaxPooling2D(4, 2, "same")),
        Block(16 * width, 3, 1 / 0.25, 1.0, 0.01, AveragePooling2D(2)),
    ]


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    network, epochs = (blocks(4), 1) if quick else (blocks(), 50)
    yield from deep_network.compare(network, train, test, epochs)


if __name__ == "__main__":
    experiment.main(run, __doc__, "cifar10", REPORTED, flat=False)
