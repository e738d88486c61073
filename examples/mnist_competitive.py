"""100 competing units learn MNIST without labels, then classify it.

    python examples/mnist_competitive.py

Krotov and Hopfield's rule with p = 3, k = 2, delta = 0.4. Each unit gets the
class that it wins most often on the training images. A test image is then
classified by the unit with the largest dot product, or by the one with the
largest cosine, beside as many k-means centres.
"""

import argparse

import keras
import numpy as np
from sklearn.cluster import MiniBatchKMeans

import keras_hebbian as kh

UNITS = 100


def learn(
    layer: kh.LocalLearningLayer,
    images: np.ndarray,
    epochs: int,
    batch_size: int = 100,
    verbose: str | int = "auto",
) -> kh.HebbianSequential:
    """A model of one layer that learned from flat images, without labels."""
    model = kh.HebbianSequential([keras.Input(images.shape[1:]), layer])
    on_torch = keras.backend.backend() == "torch"  # which runs single steps
    model.compile(steps_per_execution=1 if on_torch else 20)
    model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=verbose,
    )
    return model


def winner_model(kernel: np.ndarray, train: tuple) -> keras.Model:
    """A classifier by the winner among the columns of a kernel."""
    units = keras.Sequential(
        [
            keras.Input(kernel.shape[:1]),
            keras.layers.Dense(kernel.shape[1], use_bias=False),
        ]
    )
    units.set_weights([kernel])
    classifier = kh.WinnerClassifier(10)
    classifier.adapt(units.predict(train[0], verbose=0), train[1])
    return keras.Sequential([*units.layers, classifier])


def main(arguments: list[str] | None = None) -> None:
    """The experiment, with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data",
        default="mnist",
        help="mnist, or the path of an .npz or .mat file (default: mnist)",
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    keras.utils.set_random_seed(args.seed)

    train, test = (
        (images.reshape(len(images), -1), labels)
        for images, labels in kh.datasets.load_data(args.data)
    )
    layer = kh.HebbianCompetitive(
        UNITS, p=3, k=2, delta=0.4, learning_rate=0.04
    )
    learn(layer, train[0], args.epochs)
    kernel = layer.get_weights()[0]
    k_means = MiniBatchKMeans(UNITS, n_init=3, random_state=args.seed)
    centres = k_means.fit(train[0]).cluster_centers_.T

    print(f"\nAccuracy on {len(test[0])} test images, seed {args.seed}:")
    print(f"{'':33}{'all digits':>12}{'3 to 9':>9}")
    for name, weights in (
        ("Hebbian units, by dot product", kernel),
        ("Hebbian units, by cosine", kernel / np.linalg.norm(kernel, axis=0)),
        (
            "k-means centres, by cosine",
            centres / np.linalg.norm(centres, axis=0),
        ),
    ):
        scores = winner_model(weights, train).predict(test[0], verbose=0)
        correct = scores.argmax(axis=-1) == test[1]
        print(
            f"{name:33}{correct.mean():12.2%}"
            f"{correct[test[1] >= 3].mean():9.2%}"
        )


if __name__ == "__main__":
    main()
