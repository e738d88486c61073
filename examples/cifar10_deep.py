"""Three convolutional layers of SoftHebb on CIFAR-10.

    python examples/cifar10_deep.py

The network of "Hebbian deep learning without feedback": three blocks of batch
normalization, `Convolution(SoftHebb)`, `Triangle` and pooling learn together,
in one epoch with batches of 10, without labels. The readout is linear and
trained on frozen features, after one, two and three blocks, and on random
filters. The first row has the readout of the paper, all others a ridge
regression on standardized features, averaged over an image and its mirror
image. It reads the last block; rows with "last 2 read out" read two. The
penalty, and the pooling before the readout, were chosen on validation images.
After one epoch most filters of the first layer still look like their random
start; some have become edges or uniform colours.
The replication is a report in a public repository, "SoftHebb em CIFAR-10", with
three seeds on the original images and the readout of the paper.
"""

import keras
import numpy as np
from keras import layers
from keras.layers import AveragePooling2D, MaxPooling2D
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.image import PatchExtractor

import deep_network
import experiment
import keras_hebbian as kh
from deep_network import Block, Readout

REPORTED = {
    "Journé et al. 2023, SoftHebb": 0.8031,
    "a replication, random filters": 0.6859,
    "a replication, backpropagation": 0.8711,
}


def readout(epochs: int) -> Readout:
    """Readout of the last two blocks, each pooled to 4 x 4 places."""
    return Readout(
        epochs,
        penalty=0.2,
        poolings=(
            AveragePooling2D(3, 2, "same"),
            AveragePooling2D(5, 4, "same"),
        ),
        mirrored=True,
    )


def blocks(width: int = 96) -> list[Block]:
    """The blocks of the paper, with 1, 4 and 16 times `width` units."""
    return [
        Block(width, 5, 1, 0.7, 0.08, MaxPooling2D(4, 2, "same")),
        Block(4 * width, 3, 1 / 0.65, 1.4, 0.005, MaxPooling2D(4, 2, "same")),
        Block(16 * width, 3, 1 / 0.25, 1.0, 0.01, AveragePooling2D(2)),
    ]


def patch_k_means(
    train: experiment.Split, test: experiment.Split, units: int
) -> deep_network.Features:
    """Features of Coates, Lee and Ng (2011): k-means of whitened patches.

    The activities of the centres are averaged over the quadrants of an image.
    """
    extract = PatchExtractor(patch_size=(6, 6), max_patches=8, random_state=0)
    size = 6 * 6 * train[0].shape[-1]
    patches = extract.transform(train[0]).reshape(-1, size)
    contrast = layers.LayerNormalization(
        epsilon=10 / 255**2, center=False, scale=False
    )
    patches = keras.ops.convert_to_numpy(contrast(patches))
    mean = patches.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(patches.T))
    whitening = axes / np.sqrt(variances + 0.1) @ axes.T
    found = MiniBatchKMeans(units, batch_size=10_000, n_init=1).fit(
        (patches - mean) @ whitening
    )
    whiten = layers.Dense(size)
    centres = kh.SelfOrganizingMap(units, trainable=False)
    inputs = keras.Input(train[0].shape[1:])
    outputs = layers.Lambda(
        lambda images: keras.ops.image.extract_patches(images, 6, strides=1)
    )(inputs)
    outputs = centres(whiten(contrast(outputs)))  # negative distances
    whiten.set_weights([whitening, -mean @ whitening])
    centres.kernel.assign(found.cluster_centers_.T)
    side = outputs.shape[1] // 2
    outputs = layers.AveragePooling2D(side, side + 1)(kh.Triangle()(outputs))
    model = keras.Model(inputs, layers.Flatten()(outputs))
    return deep_network.features(model, train, test, mirrored=True)


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    train, test = map(deep_network.with_channels, (train, test))
    network, epochs, centres = (
        (blocks(4), 1, 16) if quick else (blocks(), 50, 1600)
    )
    how = readout(epochs)
    yield from deep_network.compare(network, train, test, how)
    seen = patch_k_means(train, test, centres)
    accuracies = deep_network.read_out(seen, train, test, how.penalty)
    yield f"k-means of patches, {centres} centres", *accuracies, None


if __name__ == "__main__":
    draw = deep_network.filters_and_curves
    experiment.main(run, __doc__, "cifar10", REPORTED, draw, flat=False)
