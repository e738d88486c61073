"""Draws the pictures of docs/gallery.md.

    python examples/gallery.py                    # scanned digits, a minute
    python examples/gallery.py --data mnist       # those of the documentation

Competing units, units with lateral inhibition and self-organizing maps learn
without labels and are monitored while they do. A readout on competing units,
trained by backpropagation, is then compared with a network of the same size
trained by backpropagation alone. Two rules learn filters from photographs, and
units follow digits that rotate.
"""

import argparse
import math
import pathlib
import shutil
import tempfile
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_wine

import drift
import experiment
import first_look
import keras_hebbian as kh
import quickstart
from keras_hebbian.rules import competitive

UNITS = 100
BATCH_SIZE = 100
BATCHES = 12_000


class Rotating(keras.utils.PyDataset):
    """Flat images that rotate by 5 degrees after every epoch."""

    def __init__(self, images: np.ndarray, batches: int) -> None:
        super().__init__()
        self.images = images
        self.batches = batches
        self.degrees = 0

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        places = np.arange(BATCH_SIZE) + index * BATCH_SIZE
        images = np.take(self.images, places, axis=0, mode="wrap")
        return (drift.flat(drift.rotate(images, self.degrees)),)

    def on_epoch_end(self) -> None:
        self.degrees += 5


class Norms(keras.callbacks.Callback):
    """Keeps the p-norms of the first layer's units after every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.norms: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        layer = self.model.layers[0]
        norms = competitive.norms(layer.kernel, layer.p)
        self.norms.append(keras.ops.convert_to_numpy(norms))


def learn(
    layer: kh.LocalLearningLayer, data: tuple, epochs: int, *callbacks: Any
) -> tuple[kh.HebbianSequential, keras.callbacks.History]:
    """A model of one layer that learned from flat images, and its history."""
    images, _ = data
    model = kh.HebbianSequential([keras.Input(images.shape[1:]), layer])
    model.compile()
    history = model.fit(
        images,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[
            kh.LinearRateDecay(),
            kh.LearningMonitor(
                tuple(array[:5000] for array in data),
                every=math.ceil(epochs / 20),
            ),
            *callbacks,
        ],
        verbose=2,
    )
    return model, history


def classes_of(model: keras.Model, data: tuple) -> np.ndarray:
    """The class that each unit wins most often."""
    classifier = kh.WinnerClassifier(10)
    classifier.adapt(model.predict(data[0], verbose=0), data[1])
    return classifier.unit_classes


def weights_by_class(
    layer: kh.LocalLearningLayer, classes: np.ndarray, shape: tuple, title: str
) -> Any:
    """A figure of the units of a layer, in the order of their classes."""
    return kh.plotting.plot_weights(
        layer.get_weights()[0],
        shape,
        units=np.argsort(classes, kind="stable"),
        labels=[label if label >= 0 else "none" for label in classes],
        title=title,
    )


def readout(
    below: list[keras.layers.Layer], train: tuple, test: tuple, epochs: int
) -> keras.callbacks.History:
    """The history of a readout, and all below it that backpropagation can
    train."""
    model = keras.Sequential(
        [
            *below,
            keras.layers.BatchNormalization(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model.fit(
        *train,
        batch_size=BATCH_SIZE,
        epochs=min(epochs, 20),
        validation_data=test,
        verbose=2,
    )


def competing(train: tuple, test: tuple, shape: tuple, epochs: int) -> dict:
    """The figures of competing units."""
    layer = kh.HebbianCompetitive(UNITS)
    model, history = learn(layer, train, epochs)
    classes = classes_of(model, train)
    layer.trainable = False
    hebbian = [*model.layers, kh.RectifiedPower(4.5)]
    inputs = keras.Input(train[0].shape[1:])
    dense = keras.layers.Dense(UNITS, activation="relu")
    return {
        "competing": weights_by_class(
            layer, classes, shape, f"{UNITS} competing units"
        ),
        "convergence": convergence(train, epochs),
        "monitor": kh.plotting.plot_history(
            history, ["winner_accuracy", "win_entropy", "change"]
        ),
        "readout": kh.plotting.plot_history(
            {
                "Hebbian units": readout(hebbian, train, test, epochs),
                "backpropagation": readout(
                    [inputs, dense], train, test, epochs
                ),
            }
        ),
    }


def convergence(train: tuple, epochs: int) -> Any:
    """A figure of the norms with the settings of the paper, whose larger start
    takes longer to converge than the default."""
    norms = Norms()
    layer = experiment.competing_units(UNITS, learning_rate=0.04)
    learn(layer, train, epochs, norms)
    return kh.plotting.plot_convergence(norms.norms)


def inhibiting(train: tuple, shape: tuple, epochs: int) -> dict:
    """The figures of units with lateral inhibition."""
    layer = experiment.sparse_units(
        UNITS,
        sparsity=0.01,
        learning_rate=0.02,
        threshold_rate=3.0,
        inhibition_rate=5e-3,
    )
    model, _ = learn(layer, train, epochs)
    classes = classes_of(model, train)
    title = f"{UNITS} units with lateral inhibition"
    return {
        "sparse": weights_by_class(layer, classes, shape, title),
        "inhibition": kh.plotting.plot_inhibition(
            layer.get_weights()[2], classes, title="Inhibition between units"
        ),
    }


def mapping(train: tuple, shape: tuple, epochs: int) -> dict:
    """The figures of a self-organizing map of the images."""
    keras.utils.set_random_seed(0)
    layer = kh.SelfOrganizingMap((12, 16))
    model, _ = learn(layer, train, epochs)
    winners = model.predict(train[0], verbose=0).argmax(axis=-1)
    return {
        "map": kh.plotting.plot_weights(
            layer.get_weights()[0], shape, *layer.shape, title="A map of digits"
        ),
        "hits": kh.plotting.plot_hits(
            winners, layer.shape, train[1], title="Images that each unit wins"
        ),
    }


def mapping_wines() -> dict:
    """The figures of a self-organizing map of a table."""
    keras.utils.set_random_seed(0)
    wines = load_wine()
    table = (wines.data - wines.data.mean(axis=0)) / wines.data.std(axis=0)
    layer = kh.SelfOrganizingMap((9, 12), topology="hexagonal")
    learn(layer, (table.astype("float32"), wines.target), epochs=60)
    kernel = layer.get_weights()[0]
    return {
        "u_matrix": kh.plotting.plot_u_matrix(
            kernel, layer.shape, layer.topology, title="U-matrix of 178 wines"
        ),
        "component_planes": kh.plotting.plot_component_planes(
            kernel,
            layer.shape,
            inputs=[0, 1, 6, 9, 10, 12],
            labels=wines.feature_names,
            topology=layer.topology,
        ),
    }


def following(
    train: tuple, shape: tuple, epochs: int, output: pathlib.Path
) -> None:
    """Animates how 25 units follow digits that rotate by 90 degrees."""
    layer = kh.HebbianCompetitive(25)
    model, _ = learn(layer, train, max(2, math.ceil(epochs / 4)))
    layer.learning_rate = drift.RATE
    images = train[0].reshape(-1, *shape)
    with tempfile.TemporaryDirectory() as directory:
        pictures = kh.WeightVisualization(
            directory,
            gif=True,
            image_shape=shape,
            side=300,
            title="25 units keep learning while the digits rotate",
        )
        model.fit(
            Rotating(images, batches=min(150, 5 * epochs)),
            epochs=19,
            callbacks=[pictures],
            verbose=2,
        )
        shutil.copy(pathlib.Path(directory, "weights.gif"), output)


def from_quickstart(output: pathlib.Path) -> None:
    """The weights of the quickstart, and the animation of their learning."""
    with tempfile.TemporaryDirectory() as directory:
        made = pathlib.Path(directory)
        quickstart.main(["--output", directory])
        shutil.copy(made / "weights.png", output / "quickstart.png")
        animation = made / "weights" / "weights.gif"
        shutil.copy(animation, output / "quickstart.gif")


def from_first_look(output: pathlib.Path, epochs: int | None) -> None:
    """The filters that two rules learn from photographs."""
    with tempfile.TemporaryDirectory() as directory:
        shorter = [] if epochs is None else [f"--epochs={epochs}"]
        first_look.main(["--output", directory, *shorter])
        for path in pathlib.Path(directory).glob("*.png"):
            shutil.copy(path, output / f"filters_{path.name}")


def main(arguments: list[str] | None = None) -> None:
    """All pictures, with the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        default="digits",
        help="digits, mnist, fashion_mnist, or the path of an .npz or .mat "
        "file (default: digits)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help=f"passes over the images (default: {BATCHES} batches)",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("gallery"),
        help="folder (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    from_quickstart(args.output)

    (images, _), _ = splits = kh.datasets.load_data(args.data)
    train, test = (
        (images.reshape(len(images), -1), labels) for images, labels in splits
    )
    shape = images.shape[1:]
    epochs = args.epochs or math.ceil(BATCHES * BATCH_SIZE / len(images))
    figures = {
        **competing(train, test, shape, epochs),
        **inhibiting(train, shape, epochs),
        **mapping(train, shape, epochs),
        **mapping_wines(),
    }
    for name, figure in figures.items():
        figure.savefig(args.output / f"{name}.png")
    following(train, shape, epochs, args.output / "turning.gif")
    from_first_look(args.output, args.epochs)
    print(f"Pictures: {args.output}/")


if __name__ == "__main__":
    main()
