"""Writes the small file that every later version must load.

    KERAS_BACKEND=jax python tests/golden.py tests/data/0.2.0-jax.keras

A model of every public layer, of which the local ones have learned.
"""

import sys

import keras
import numpy as np

import keras_hebbian as kh

IMAGES = np.random.default_rng(0).random((20, 6)).astype("float32")
LABELS = np.arange(20) % 3


def main(path):
    keras.utils.set_random_seed(1)
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 100)
    inputs = keras.Input((6,))
    units = kh.HebbianCompetitive(
        5, p=2.5, k=3, learning_rate=schedule, activation="relu", name="units"
    )(inputs)
    sparse = kh.LateralInhibitionSparse(
        4, sparsity=0.25, inhibition_rate=0.05, norm=4, name="sparse"
    )(kh.RectifiedPower(1.5, name="power")(units))
    features = keras.layers.Concatenate()([units, sparse])
    images = keras.layers.Reshape((3, 2, 1))(inputs)
    soft = kh.Convolution(kh.SoftHebb(3), kernel_size=2, name="soft")(images)
    others = [
        kh.Triangle(name="triangle")(soft),
        kh.HebbianPCA(2, center=True, name="components")(inputs),
        kh.SelfOrganizingMap((2, 2), name="map")(inputs),
    ]
    model = kh.HebbianModel(inputs, [features, *others])
    model.compile()
    model.fit(IMAGES, batch_size=5, epochs=2, verbose=0)
    classifier = kh.WinnerClassifier(3, name="classifier")
    classifier.adapt(model.predict(IMAGES, verbose=0)[0], LABELS)
    outputs = [features, classifier(features), *others]
    model = kh.HebbianModel(inputs, outputs)
    model.compile(loss=[kh.PowerLoss(4), None, None, None, None])
    model.save(path)


if __name__ == "__main__":
    main(sys.argv[1])
