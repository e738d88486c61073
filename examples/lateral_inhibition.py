"""Units with thresholds and lateral inhibition learn MNIST, then classify it.

    python examples/lateral_inhibition.py                     # 100, 400 units
    python examples/lateral_inhibition.py --sweep inhibition  # does it help?
    python examples/lateral_inhibition.py --sweep growth      # which bounds?

Each unit gets the class that it wins most often on the training images. The
winner is the unit with the largest cosine between its weights and the image,
or the most active one, beside as many k-means centres (unit-norm images,
nearest centre). A sweep repeats 100 units with several rates of inhibition,
or several bounds on the growth of a weight in one batch.
"""

import argparse
import pathlib

import keras
import numpy as np

import keras_hebbian as kh
from mnist_competitive import learn, winner_model
from quickstart import k_means_accuracy

RECIPES = {
    100: {"sparsity": 0.006, "learning_rate": 0.02, "threshold_rate": 5.0},
    400: {"sparsity": 0.0018, "learning_rate": 0.03, "threshold_rate": 6.0},
}
EPOCHS = {100: 100, 400: 60}
BOUNDS = kh.LateralInhibitionSparse.GROWTH
SWEEPS = {  # the rate of inhibition and the bounds of each run
    "inhibition": [(rate, BOUNDS) for rate in (0.0, 5e-4, 5e-3, 2e-2)],
    "growth": [
        (0.0, bounds)
        for bounds in ((0.5, 2.0), (0.8, 1.25), (0.1, 10.0), (0.0, np.inf))
    ],
}
SWEEP_EPOCHS = 40


def prepare(images: np.ndarray) -> np.ndarray:
    """Flat images with compressed grey levels and nearly equal norms.

    Raw images of heavy digits drive all units more than those of light ones,
    which the thresholds cannot tell from a better match.
    """
    flat = np.sqrt(images.reshape(len(images), -1))
    return 5 * flat / np.linalg.norm(flat, axis=1, keepdims=True) ** 0.6


def unit_norm(images: np.ndarray) -> np.ndarray:
    """Flat images of length 1."""
    flat = images.reshape(len(images), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def make_layer(
    units: int, inhibition_rate: float, growth: tuple[float, float]
) -> kh.LateralInhibitionSparse:
    """The layer of a recipe, with the rate and the bounds of a run."""
    layer = kh.LateralInhibitionSparse(
        units,
        inhibition_rate=inhibition_rate,
        activation="linear",  # the logits: their winner is never a tie
        **RECIPES[units],
    )
    layer.GROWTH = growth
    return layer


def accuracies(model: keras.Model, train: tuple, test: tuple) -> list[float]:
    """Test accuracy of the winner by cosine and of the winner by output."""
    classifier = kh.WinnerClassifier(10)
    classifier.adapt(model.predict(train[0], verbose=0), train[1])
    by_output = keras.Sequential([*model.layers, classifier])
    kernel = model.layers[0].get_weights()[0]
    norms = np.maximum(np.linalg.norm(kernel, axis=0), 1e-30)
    by_cosine = winner_model(kernel / norms, train)
    return [accuracy(each, test) for each in (by_cosine, by_output)]


def accuracy(model: keras.Model, test: tuple) -> float:
    """The share of test images that the model classifies right."""
    scores = model.predict(test[0], verbose=0)
    return float(np.mean(scores.argmax(axis=-1) == test[1]))


def row(name: str, values: np.ndarray) -> str:
    """A line of means and standard deviations over the seeds, in percent."""
    cells = (
        f"{mean:9.2%} +- {spread:5.2%}"
        for mean, spread in zip(values.mean(0), values.std(0), strict=True)
    )
    return f"{name:50}" + "".join(cells)


def main(arguments: list[str] | None = None) -> None:
    """The experiment, with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data",
        default="mnist",
        help="mnist, or the path of an .npz or .mat file (default: mnist)",
    )
    parser.add_argument("--sweep", choices=SWEEPS)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument(
        "--units", type=int, nargs="+", default=[100, 400], choices=RECIPES
    )
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("weights")
    )
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    (train_images, train_labels), (test_images, test_labels) = (
        kh.datasets.load_data(args.data)
    )
    image_shape = train_images.shape[1:]
    train = prepare(train_images), train_labels
    test = prepare(test_images), test_labels

    unit_norms = [
        (unit_norm(train_images), train_labels),
        (unit_norm(test_images), test_labels),
    ]

    seeds = args.seeds or range(5 if args.sweep else 3)
    if args.sweep:
        runs = [(100, *run) for run in SWEEPS[args.sweep]]
    else:
        runs = [(units, 0.0, BOUNDS) for units in args.units]
    rows = []
    for units, rate, growth in runs:
        epochs = args.epochs or (SWEEP_EPOCHS if args.sweep else EPOCHS[units])
        values = []
        for seed in seeds:
            keras.utils.set_random_seed(seed)
            layer = make_layer(units, rate, growth)
            model = learn(layer, train[0], epochs)
            values.append(accuracies(model, train, test))
        name = f"{units} units, inhibition {rate:g}, growth {growth}"
        rows.append(row(name, np.array(values)))
        figure = kh.plotting.plot_weights(
            model.layers[0].get_weights()[0], image_shape
        )
        low, high = growth
        file = f"{units}_inhibition_{rate:g}_growth_{low:g}_to_{high:g}.png"
        figure.savefig(args.output / file)
        if not args.sweep:
            centres = [
                [k_means_accuracy(*unit_norms, units, seed)] for seed in seeds
            ]
            rows.append(row(f"{units} k-means centres", np.array(centres)))

    print(
        f"\nAccuracy on {len(test[0])} test images, seeds {list(seeds)}, "
        "mean +- standard deviation:"
    )
    print(f"{'':50}{'by cosine':>15}{'by output':>18}")
    print("\n".join(rows))
    print(f"What the units learned: {args.output}/")


if __name__ == "__main__":
    main()
