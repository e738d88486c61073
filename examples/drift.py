"""Units that keep learning without labels while the images drift.

    KERAS_BACKEND=tensorflow python examples/drift.py

Labels exist once, at the start: competing units learn from the training
images, and each gets the class that it wins most often. Then the images drift
in 90 stages: they rotate by 90 degrees, lose 90 % of their contrast, or are
written with a pen that grows by up to four pixels. In each stage 30 batches of
100 training images arrive without labels. The units learn from them at a
constant rate, in an exported LiteRT file.

A column is the accuracy on all test images at that stage. Where the images
rotate, the stage is the angle in degrees. From stage 60 there are two other
courses: the drift stops for 30 stages ("60, held"), or reverses ("back at").

For comparison the same units and a network trained by backpropagation are
frozen. The centres of scikit-learn's `MiniBatchKMeans`, labelled like the
units, keep learning by `partial_fit`, which moves a centre less the more
samples it has seen, or at a constant rate towards the mean of the samples that
each wins. Two rows use the labels of all training images again at each measured
stage: the units that kept learning are relabelled, and the network is trained
further. All images are scaled to unit norm, except for the network. The
arguments were chosen on the last 6,000 training images.
"""

import copy
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import keras
import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage
from sklearn.cluster import MiniBatchKMeans
from sklearn.preprocessing import normalize

import experiment
import keras_hebbian as kh

UNITS = 400
DELTA = 0.4
RATE = 0.01
RATE_OF_CENTRES = 0.1
STAGES = 90
MEASURED = range(0, STAGES + 1, 15)
TURNING_POINT = 60
HELD = 30
BATCHES = 30
BATCH_SIZE = 100

# Takes images `(samples, height, width)` and the stage.
Drift = Callable[[np.ndarray, float], np.ndarray]
Accuracies = dict[str, float]


def rotate(images: np.ndarray, degrees: float) -> np.ndarray:
    """Images rotated about their centre."""
    rotated = ndimage.rotate(
        images, degrees, axes=(1, 2), reshape=False, order=1
    )
    return rotated.astype("float32")


def fade(images: np.ndarray, percent: float) -> np.ndarray:
    """Images whose ink and paper both approach grey."""
    return images * np.float32(1 - percent / 100) + np.float32(percent / 200)


def thicken(images: np.ndarray, stage: float) -> np.ndarray:
    """Images whose strokes grow by two pixels in 45 stages."""
    grown, part = divmod(stage / 45, 1)
    for _ in range(int(grown)):
        images = ndimage.grey_dilation(images, (1, 3, 3))
    thicker = ndimage.grey_dilation(images, (1, 3, 3))
    return ((1 - part) * images + part * thicker).astype("float32")


DRIFTS = {"rotation": rotate, "fading": fade, "thicker pen": thicken}


def flat(images: np.ndarray) -> np.ndarray:
    """Images as vectors."""
    return images.reshape(len(images), -1)


class Learner(Protocol):
    """Base of learners that need no labels and classify flat images."""

    def learn(self, batch: np.ndarray) -> None: ...

    def classify(self, images: np.ndarray) -> np.ndarray: ...

    def get_weights(self) -> Any: ...

    def set_weights(self, weights: Any) -> None: ...


class OnDevice:
    """A LiteRT file, which runs without Keras and without this package."""

    def __init__(self, path: pathlib.Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(path))  # which the runners need
        runner = self.interpreter.get_signature_runner
        self._learn, self._infer = runner("learn"), runner("infer")
        self._set_weights = runner("set_weights")
        self.get_weights = runner("get_weights")

    def learn(self, batch: np.ndarray) -> None:
        self._learn(inputs=batch)

    def infer(self, images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """The outputs for each batch, the last of which is padded."""
        for start in range(0, len(images), BATCH_SIZE):
            batch = images[start : start + BATCH_SIZE]
            count = len(batch)
            filled = np.pad(batch, [(0, BATCH_SIZE - count), (0, 0)])
            outputs = self._infer(inputs=filled)
            yield {name: value[:count] for name, value in outputs.items()}

    def classify(self, images: np.ndarray) -> np.ndarray:
        scores = [outputs["classes"] for outputs in self.infer(images)]
        return np.concatenate(scores).argmax(axis=-1)

    def drives(self, images: np.ndarray) -> np.ndarray:
        """The quantity the units compete by."""
        return np.concatenate([each["units"] for each in self.infer(images)])

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._set_weights(**weights)


class Centres:
    """K-means centres that keep learning, by `partial_fit` or at a rate."""

    rate: float | None = None  # `partial_fit` without one

    def __init__(self, units: int, train: experiment.Split) -> None:
        images, labels = normalize(flat(train[0])), train[1]
        self.model = MiniBatchKMeans(units, n_init=3).fit(images)
        self.classifier = kh.WinnerClassifier(10)
        self.classifier.adapt(-self.model.transform(images), labels)

    def learn(self, batch: np.ndarray) -> None:
        images = normalize(batch)
        if self.rate is None:
            self.model.partial_fit(images)
            return
        winners = self.model.predict(images)
        for winner in np.unique(winners):
            centre = self.model.cluster_centers_[winner]
            mean = images[winners == winner].mean(axis=0)
            centre += self.rate * (mean - centre)

    def classify(self, images: np.ndarray) -> np.ndarray:
        closeness = -self.model.transform(normalize(images))
        return experiment.voted(self.classifier, closeness)

    def get_weights(self) -> MiniBatchKMeans:
        return copy.deepcopy(self.model)

    def set_weights(self, weights: MiniBatchKMeans) -> None:
        self.model = copy.deepcopy(weights)


def export_units(
    path: pathlib.Path, train: experiment.Split, units: int, epochs: int
) -> None:
    """Trains units on flat images, labels them and exports them to a file."""
    images, labels = train
    inputs = keras.Input(images.shape[1:])
    layer = kh.HebbianCompetitive(units, learning_rate=0.04, name="units")
    drives = layer(keras.layers.UnitNormalization()(inputs))
    model = kh.HebbianModel(inputs, drives)
    model.compile()
    model.fit(
        images,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=2,
    )
    classifier = kh.WinnerClassifier(10, name="classes")
    classifier.adapt(model.predict(images, verbose=0), labels)
    layer.learning_rate = RATE
    layer.delta = DELTA
    model = kh.HebbianModel(inputs, [drives, classifier(drives)])
    kh.export_learner(model, path, BATCH_SIZE, format="litert")


def measure(
    classify: Callable[[np.ndarray], np.ndarray],
    drift: Drift,
    stage: int,
    test: experiment.Split,
) -> float:
    """Accuracy on the test images of a stage."""
    images, labels = test
    return np.mean(classify(flat(drift(images, stage))) == labels)


def learn_on(
    learner: Learner,
    drift: Drift,
    images: np.ndarray,
    stages: Iterable[int],
    batches: int,
) -> Iterator[int]:
    """Each of the stages, after the learner has learned from its images."""
    rng = np.random.default_rng(0)  # the same images for all learners
    for stage in stages:
        drawn = rng.choice(images, batches * BATCH_SIZE)
        for batch in np.split(flat(drift(drawn, stage)), batches):
            learner.learn(batch)
        yield stage


def follow(
    learner: Learner,
    drift: Drift,
    train: experiment.Split,
    test: experiment.Split,
    batches: int,
) -> tuple[Accuracies, dict[int, Any]]:
    """Accuracies, and the weights at the measured stages."""

    def going(stages: Iterable[int]) -> Iterator[int]:
        return learn_on(learner, drift, train[0], stages, batches)

    def accuracy(stage: int) -> float:
        return measure(learner.classify, drift, stage, test)

    start = learner.get_weights()
    accuracies, weights = {}, {}
    for stage in going(range(STAGES + 1)):
        if stage in MEASURED:
            accuracies[f"{stage}"] = accuracy(stage)
            weights[stage] = learner.get_weights()
    learner.set_weights(weights[TURNING_POINT])
    for _ in going([TURNING_POINT] * HELD):
        pass
    accuracies[f"{TURNING_POINT}, held"] = accuracy(TURNING_POINT)
    learner.set_weights(weights[TURNING_POINT])
    for stage in going(range(TURNING_POINT, -1, -1)):
        if stage in (TURNING_POINT // 2, 0):
            accuracies[f"back at {stage}"] = accuracy(stage)
    learner.set_weights(start)
    return accuracies, weights


def frozen(
    classify: Callable[[np.ndarray], np.ndarray],
    drift: Drift,
    test: experiment.Split,
) -> Accuracies:
    """Accuracies of a frozen classifier."""
    return {f"{s}": measure(classify, drift, s, test) for s in MEASURED}


def relabelled(
    device: OnDevice,
    weights: dict[int, Any],
    drift: Drift,
    train: experiment.Split,
    test: experiment.Split,
) -> Accuracies:
    """Accuracies of units that kept learning, with the votes of each stage."""
    accuracies = {}
    start = device.get_weights()
    for stage, each in weights.items():
        device.set_weights(each)
        classifier = kh.WinnerClassifier(10)
        images = flat(drift(train[0], stage))
        classifier.adapt(device.drives(images), train[1])
        accuracies[f"{stage}"] = measure(
            lambda x, c=classifier: experiment.voted(c, device.drives(x)),
            drift,
            stage,
            test,
        )
    device.set_weights(start)
    return accuracies


def network(units: int, pixels: int) -> keras.Model:
    """The same number of units, for backpropagation."""
    model = keras.Sequential(
        [
            keras.Input((pixels,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        "adam", "sparse_categorical_crossentropy", steps_per_execution=20
    )
    return model


def retrained(
    model: keras.Model,
    drift: Drift,
    train: experiment.Split,
    test: experiment.Split,
    epochs: int,
) -> Accuracies:
    """Accuracies of a network trained with the labels of each stage."""
    accuracies = {}
    start = model.get_weights()
    for stage in MEASURED:
        if stage:
            images = flat(drift(train[0], stage))
            model.fit(
                images,
                train[1],
                batch_size=BATCH_SIZE,
                epochs=epochs,
                verbose=2,
            )
        accuracies[f"{stage}"] = measure(
            lambda x: experiment.predictions(model, x), drift, stage, test
        )
    model.set_weights(start)
    return accuracies


def compare(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> Iterator[tuple[str, Accuracies]]:
    """Name and accuracies of everything that is compared."""
    units, batches = (20, 1) if quick else (UNITS, BATCHES)
    epochs, trained, again = (2, 1, 1) if quick else (10, 5, 2)
    vectors = flat(train[0]), train[1]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "units.tflite")
        export_units(path, vectors, units, epochs)
        device = OnDevice(path)
    for name, drift in DRIFTS.items():
        accuracies, weights = follow(device, drift, train, test, batches)
        yield f"{name}: units, still learning", accuracies
        yield (
            f"{name}: the same, relabelled",
            relabelled(device, weights, drift, train, test),
        )
        yield f"{name}: units, frozen", frozen(device.classify, drift, test)
    centres = Centres(units, train)
    for method, rate in (
        ("still learning", None),
        ("constant rate", RATE_OF_CENTRES),
    ):
        centres.rate = rate
        for name, drift in DRIFTS.items():
            accuracies, _ = follow(centres, drift, train, test, batches)
            yield f"{name}: k-means centres, {method}", accuracies
    model = network(units, vectors[0].shape[1])
    model.fit(*vectors, batch_size=BATCH_SIZE, epochs=trained, verbose=2)
    for name, drift in DRIFTS.items():
        accuracies = frozen(
            lambda x: experiment.predictions(model, x), drift, test
        )
        yield f"{name}: network, frozen", accuracies
        yield (
            f"{name}: network, retrained with all labels",
            retrained(model, drift, train, test, again),
        )


def curves(rows: dict[str, Accuracies]) -> Figure:
    """Accuracy while the images drift, of the last seed"""
    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, len(DRIFTS), sharey=True)
    for axes, drift in zip(panels, DRIFTS, strict=True):
        for name, accuracies in rows.items():
            kind, _, method = name.partition(": ")
            if kind == drift:
                shown = [accuracies[f"{stage}"] for stage in MEASURED]
                axes.plot(MEASURED, shown, marker="o", label=method)
        axes.set_title(drift)
        axes.set_xlabel("stage")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        fontsize="small",
    )
    return figure


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    for name, accuracies in compare(train, test, quick):
        yield name, accuracies, accuracies


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=curves, flat=False)
