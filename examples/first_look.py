"""Units learn edges and colours from two photographs, without labels.

    python examples/first_look.py

`HebbianCompetitive` and `SoftHebb`, wrapped in `Convolution`, learn patches of
the photographs that come with scikit-learn: no download, less than a minute on
two cores. The photographs are filtered as by the eye: each pixel minus its
surround, with decorrelated colours. Prints measures of learning and draws the
filters of both rules as colour tiles.
"""

import argparse
import pathlib

import keras
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

import keras_hebbian as kh

SIDE = 32
SURROUND = 3  # pixels, standard deviation
MEASURES = ("dead", "win_entropy", "norm_distance")


def photographs() -> np.ndarray:
    """Crops `(crops, 32, 32, 3)` of the filtered photographs."""
    images = np.stack(load_sample_images().images) / 255
    images -= gaussian_filter(images, (0, SURROUND, SURROUND, 0))
    variances, axes = np.linalg.eigh(np.cov(images.reshape(-1, 3).T))
    images = images @ (axes / np.sqrt(variances) @ axes.T)
    rows, columns = (size // SIDE for size in images.shape[1:3])
    crops = images[:, : rows * SIDE, : columns * SIDE]
    crops = crops.reshape(-1, rows, SIDE, columns, SIDE, 3).swapaxes(2, 3)
    return crops.reshape(-1, SIDE, SIDE, 3).astype("float32")


def learn(
    units: kh.LocalLearningLayer,
    crops: np.ndarray,
    kernel_size: int,
    epochs: int,
) -> dict[str, float]:
    """Trains units on patches of the crops; the measures after training."""
    convolution = kh.Convolution(units, kernel_size, positions=32)
    model = kh.HebbianSequential([keras.Input(crops.shape[1:]), convolution])
    model.compile()
    history = model.fit(
        crops,
        batch_size=20,
        epochs=epochs,
        callbacks=[
            kh.LinearRateDecay(),
            kh.LearningMonitor(crops, every=epochs),
        ],
        verbose=0,
    )
    return {name: history.history[name][-1] for name in MEASURES}


def main(arguments: list[str] | None = None) -> None:
    """Both rules, with the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--units",
        type=int,
        default=64,
        help="number of units (default: %(default)s)",
    )
    parser.add_argument(
        "--kernel-size",
        type=int,
        default=7,
        help="height and width of a filter (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=20,
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
        default=pathlib.Path("first_look"),
        help="folder (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    crops = photographs()
    print(f"{len(crops)} crops of {SIDE} x {SIDE} pixels, {args.units} units")
    keras.utils.set_random_seed(args.seed)
    for units in (
        kh.HebbianCompetitive(args.units, name="competing"),
        kh.SoftHebb(args.units, learning_rate=0.2, name="soft"),
    ):
        measures = learn(units, crops, args.kernel_size, args.epochs)
        values = (f"{name} {value:.3f}" for name, value in measures.items())
        path = args.output / f"{units.name}.png"
        kernel = units.get_weights()[0]
        figure = kh.plotting.plot_weights(
            kernel / np.abs(kernel).max(axis=0),  # each in its own range
            units.kernel_image_shape,
            title=f"Filters of {type(units).__name__}",
        )
        figure.savefig(path)
        print(f"{type(units).__name__}: {', '.join(values)}; filters: {path}")


if __name__ == "__main__":
    main()
