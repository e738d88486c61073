"""Samples per second and errors of a map, compared with MiniSom.

    KERAS_BACKEND=jax python tests/benchmarks/self_organizing_map.py

A map of 20 x 20 units on MNIST, in batches of 100 here and one sample at a time
in MiniSom. The radius decays from 6, to 1 in MiniSom and to 0.9 here. The
learning rate of MiniSom decays from 0.5 to 0, the one here, which the samples
of a batch share, from 0.1 to 0.01. They learn in turns: MiniSom from 1000
samples, then `fit` from 10,000 images in five epochs. The ratios of samples per
second are those of neighbouring turns, with their quartiles over all turns.
Then both learn from 10,000 images, MiniSom from the
samples of ten epochs, this layer in at most a tenth of that time, and the
errors on these images are compared.
"""

import argparse
import time

import keras
import numpy as np
from minisom import MiniSom

import keras_hebbian as kh

SHAPE = (20, 20)
SIGMA = 6
IMAGES = 10_000
EPOCHS = 10
EPOCHS_PER_TURN = 5
BATCH_SIZE = 100


def make_model(inputs: int) -> keras.Model:
    """A map, compiled without arguments."""
    layer = kh.SelfOrganizingMap(SHAPE, sigma=SIGMA, learning_rate=0.1)
    model = kh.HebbianSequential([keras.Input((inputs,)), layer])
    model.compile()
    return model


def make_minisom(images: np.ndarray) -> MiniSom:
    """MiniSom, which starts with some of the images."""
    som = MiniSom(
        *SHAPE,
        images.shape[1],
        sigma=SIGMA,
        sigma_decay_function="linear_decay_to_one",
        decay_function="linear_decay_to_zero",
        random_seed=0,
    )
    som.random_weights_init(images)
    return som


def fit(model: keras.Model, images: np.ndarray, epochs: int) -> float:
    """The seconds of a `fit`."""
    start = time.perf_counter()
    model.fit(
        images,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[
            kh.LinearRateDecay(0.15, ["sigma"]),
            kh.LinearRateDecay(0.1, ["learning_rate"]),
        ],
        verbose=0,
    )
    return time.perf_counter() - start


def train(som: MiniSom, images: np.ndarray, samples: int) -> float:
    """The seconds of MiniSom's training."""
    start = time.perf_counter()
    som.train(images, samples, random_order=True)
    return time.perf_counter() - start


def ratios(images: np.ndarray, turns: int, samples: int) -> np.ndarray:
    """The ratio of samples per second, this layer to MiniSom, in each turn."""
    model, som = make_model(images.shape[1]), make_minisom(images)
    fit(model, images, 2)  # compiles
    found = []
    for _ in range(turns):
        theirs = samples / train(som, images, samples)
        ours = (
            EPOCHS_PER_TURN * len(images) / fit(model, images, EPOCHS_PER_TURN)
        )
        found.append(ours / theirs)
        print(f"{ours:,.0f} / {theirs:,.0f} samples/s: {found[-1]:.1f}")
    return np.array(found)


def errors(images: np.ndarray, epochs: int) -> None:
    """Prints the errors of both, of this layer after a tenth of the time."""
    som = make_minisom(images)
    theirs = train(som, images, epochs * len(images))
    keras.utils.set_random_seed(0)
    model = make_model(images.shape[1])
    fit(model, images, 2)  # compiles
    seconds = fit(model, images, 2) / 2
    affordable = max(2, int(0.1 * theirs / seconds))
    # Keeps what is compiled, and starts anew.
    layer = model.layers[0]
    layer.kernel.assign(keras.random.normal(layer.kernel.shape, 0.0, 0.05))
    ours = fit(model, images, affordable)
    outputs = model.predict(images, batch_size=1000, verbose=0)
    print("\n| map | epochs | seconds | quantization | topographic | dead |")
    print("|---|---|---|---|---|---|")
    for name, count, took, each, hits in (
        ("MiniSom", epochs, theirs, som, som.activation_response(images)),
        (
            f"this layer, {keras.backend.backend()}",
            affordable,
            ours,
            layer,
            np.bincount(outputs.argmax(axis=1), minlength=layer.units),
        ),
    ):
        print(
            f"| {name} | {count} | {took:.1f} "
            f"| {each.quantization_error(images):.4f} "
            f"| {each.topographic_error(images):.4f} "
            f"| {np.mean(hits == 0):.3f} |"
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(arguments)
    (images, _), _ = kh.datasets.load_data(args.data)
    images = images.reshape(len(images), -1)[: 500 if args.quick else IMAGES]
    images = images.astype("float32")
    turns = 2 if args.quick else args.turns
    found = ratios(images, turns, samples=100 if args.quick else 1000)
    quartiles = np.percentile(found, (25, 50, 75))
    print("\nratio of samples per second, quartiles:", np.round(quartiles, 1))
    errors(images, 2 if args.quick else EPOCHS)


if __name__ == "__main__":
    main()
