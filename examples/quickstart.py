"""Hebbian units learn images without labels, then classify them.

    python examples/quickstart.py

The units compete for scanned digits that come with scikit-learn, get the class
that each of them wins most often, and are compared with k-means. Writes images
of the weights, an animation of their learning, and the classifier, which it
loads again. Takes less than a minute.
"""

import argparse
import pathlib

import keras
import numpy as np
from sklearn.cluster import MiniBatchKMeans

import keras_hebbian as kh

BATCH_SIZE = 20
EPOCHS = 20


def learn(
    images: np.ndarray,
    units: int,
    epochs: int,
    pictures: kh.WeightVisualization,
) -> keras.Model:
    """Units that learned from flat images, without labels."""
    model = kh.HebbianSequential(
        [
            keras.Input(images.shape[1:]),
            kh.HebbianCompetitive(units, name="units"),
        ]
    )
    model.compile()
    model.fit(
        images,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[
            kh.LinearRateDecay(),
            pictures,
            keras.callbacks.LambdaCallback(on_epoch_end=print_epoch),
        ],
        verbose=0,
    )
    return model


def print_epoch(epoch: int, logs: dict[str, float]) -> None:
    """One line for each epoch."""
    values = (f"{name} {value:.4f}" for name, value in logs.items())
    print(f"Epoch {epoch + 1}:", ", ".join(values), flush=True)


def k_means_accuracy(train: tuple, test: tuple, units: int, seed: int) -> float:
    """Accuracy of the same number of k-means centres, labelled by vote."""
    k_means = MiniBatchKMeans(units, n_init=3, random_state=seed).fit(train[0])
    classifier = kh.WinnerClassifier(int(train[1].max()) + 1)
    classifier.adapt(-k_means.transform(train[0]), train[1])
    scores = keras.ops.convert_to_numpy(classifier(-k_means.transform(test[0])))
    return float(np.mean(scores.argmax(axis=-1) == test[1]))


def main(arguments: list[str] | None = None) -> None:
    """The experiment, with the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        default="digits",
        help="digits, mnist, fashion_mnist, cifar10, or the path of an .npz "
        "or .mat file (default: digits)",
    )
    parser.add_argument(
        "--units",
        type=int,
        default=100,
        help="number of units (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=EPOCHS,
        help="passes over the images (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the random numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("quickstart"),
        help="folder (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)

    (train_images, train_labels), (test_images, test_labels) = (
        kh.datasets.load_data(args.data)
    )
    image_shape = train_images.shape[1:]
    train_images = train_images.reshape(len(train_images), -1)
    test_images = test_images.reshape(len(test_images), -1)

    pictures = kh.WeightVisualization(
        args.output / "weights", gif=True, image_shape=image_shape
    )
    model = learn(train_images, args.units, args.epochs, pictures)

    classifier = kh.WinnerClassifier(int(train_labels.max()) + 1)
    classifier.adapt(model.predict(train_images, verbose=0), train_labels)
    model = kh.HebbianSequential([*model.layers, classifier])
    model.compile(metrics=["accuracy"])
    accuracy = model.evaluate(test_images, test_labels, verbose=0)
    k_means = k_means_accuracy(
        (train_images, train_labels),
        (test_images, test_labels),
        args.units,
        args.seed,
    )
    chance = np.bincount(test_labels).max() / len(test_labels)
    print(
        f"\nAccuracy on {len(test_images)} test images, {args.units} units, "
        f"seed {args.seed}:\n"
        f"  Hebbian units, labelled by vote  {accuracy:6.1%}\n"
        f"  MiniBatchKMeans, labelled alike  {k_means:6.1%}\n"
        f"  always the most frequent class   {chance:6.1%}\n"
    )

    path = args.output / "classifier.keras"
    model.save(path)
    np.testing.assert_array_equal(
        keras.models.load_model(path).predict(test_images, verbose=0),
        model.predict(test_images, verbose=0),
    )
    print(f"Saved, loaded again, same predictions: {path}")

    path = args.output / "weights.png"
    classes = classifier.unit_classes
    figure = kh.plotting.plot_weights(
        model.layers[0].get_weights()[0],
        image_shape,
        units=np.argsort(classes, kind="stable"),
        labels=classes,
        title=f"{args.units} units and the class that each wins most often",
    )
    figure.savefig(path)
    print(f"Learned weights: {path}")
    print(f"Animation of learning: {args.output / 'weights' / 'weights.gif'}")


if __name__ == "__main__":
    main()
