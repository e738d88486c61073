"""Draws the pictures of the documentation's pages on the rules.

    python examples/docs_pictures.py                    # all, in two minutes
    python examples/docs_pictures.py --only delta       # one of them

25 units learn the 8 x 8 digits of scikit-learn. Most pictures change one
argument and leave the others at their defaults. Above each panel is the value;
below it are the units that never win and the norms, the activity, or the
quantization and topographic errors of a map.
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

import experiment
import keras_hebbian as kh
from experiment import learn
from keras_hebbian.rules import competitive

IMAGES = experiment.ROOT / "docs" / "rules" / "images"
UNITS = 25
SIDE = 8
SPARSE = {
    "sparsity": 0.03,
    "learning_rate": 0.02,
    "threshold_rate": 3.0,
    "inhibition_rate": 5e-4,
    "activation": "linear",
}


def normal(scale: float) -> dict[str, Any]:
    """An initializer of weights around 0."""
    initializer = keras.initializers.RandomNormal(0.0, scale, seed=1)
    return {"kernel_initializer": initializer}


SOFT = {  # for images without negative pixels
    "temperature": 1 / 12,
    "anti_hebbian": False,
    "kernel_initializer": keras.initializers.RandomUniform(0.0, 2.0, seed=1),
}

CENTRED = {"temperature": 0.3}  # for images with both signs

# What each picture varies: the title and the changed arguments of its panels.
Panels = dict[str, dict[str, Any]]
COMPETING_PICTURES: dict[str, Panels] = {
    "delta": {f"delta = {x}": {"delta": x} for x in (0.0, 0.1, 0.4, 1.2)},
    "k": {
        f"k = {k}, delta = {delta}": {"k": k, "delta": delta}
        for k, delta in ((2, 0.4), (4, 0.4), (4, 0.1), (16, 0.1))
    },
    "p": {f"p = {x}": {"p": x} for x in (1.5, 2.0, 3.0, 6.0)},
    "init": {
        **{f"normal, {x}": normal(x) for x in (0.02, 0.3, 1.0)},
        "default": {},
    },
    "rate": {
        f"learning_rate = {x}": {"learning_rate": x}
        for x in (0.0005, 0.01, 0.0625, 1)
    },
}
SOFT_PICTURES: dict[str, Panels] = {
    "temperature": {
        f"temperature = {x}": {"temperature": x} for x in (0.01, 0.1, 0.5, 2.0)
    },
    "soft_rate": {
        f"learning_rate = {x}": {"learning_rate": x}
        for x in (0.0005, 0.005, 0.045, 1.0)
    },
    "rate_exponent": {
        f"rate_exponent = {x}": {"rate_exponent": x}
        for x in (0.0, 0.5, 1.0, 2.0)
    },
}
CENTRED_PICTURES: dict[str, Panels] = {
    "radius": {f"radius = {x}": {"radius": x} for x in (0.1, 2.0, 25.0, 200.0)},
    "anti_hebbian": {
        f"anti_hebbian = {on},\ntemperature = {x}": {
            "anti_hebbian": on,
            "temperature": x,
        }
        for x in (0.1, 0.5)
        for on in (False, True)
    },
}
SPARSE_PICTURES: dict[str, Panels] = {
    "sparsity": {
        f"sparsity = {x}": {"sparsity": x} for x in (0.005, 0.03, 0.1, 0.3)
    },
    "threshold_rate": {
        f"threshold_rate = {x}": {"threshold_rate": x}
        for x in (0.0, 0.02, 0.3, 3.0)
    },
    "inhibition_rate": {
        f"inhibition_rate = {x}": {"inhibition_rate": x}
        for x in (0.0, 0.0005, 0.5, 10.0)
    },
    "learning_rate": {
        f"learning_rate = {x}": {"learning_rate": x}
        for x in (0.0002, 0.002, 0.02, 1.0)
    },
}
GRID = {"activation": "linear", "learning_rate": 0.1, "topography": (5, 5)}
GRID_PICTURES: dict[str, Panels] = {
    "excitation": {
        f"excitation = {x}": {"excitation": x} for x in (0.0, 20.0, 51.2, 200.0)
    },
}
PCA_PICTURES: dict[str, Panels] = {
    "ordered": {
        "ordered, centered": {"center": True},
        "subspace, centered": {"ordered": False, "center": True},
        "ordered, not centered": {},
    },
}


MAP_PICTURES: dict[str, Panels] = {
    "sigma": {f"sigma = {x}": {"sigma": x} for x in (0.3, 1.0, 2.5, 20.0)},
    "map_rate": {
        f"learning_rate = {x}": {"learning_rate": x}
        for x in (0.0001, 0.01, 0.5, 1.0)
    },
    "grid": {
        "5 x 5": {},
        "toroidal": {"toroidal": True},
        "bubble": {"neighborhood": "bubble"},
        "25 in a row": {"shape": 25},
    },
}


def square_map(
    units: int, shape: Any = (5, 5), **given: Any
) -> kh.SelfOrganizingMap:
    """A map of 25 units."""
    return kh.SelfOrganizingMap(shape, **given)


def prepared(images: np.ndarray) -> np.ndarray:
    """Images of nearly equal norm, as thresholds need them."""
    images = np.sqrt(images)
    return 3 * images / np.linalg.norm(images, axis=1, keepdims=True) ** 0.6


def measures(model: keras.Model, images: np.ndarray) -> str:
    """The measures below a panel."""
    layer = model.layers[0]
    if isinstance(layer, kh.HebbianPCA):
        share = float(layer.report()["explained_variance"])
        of = "variance" if layer.center else "mean square"
        return f"{share:.1%} of the {of}"
    drives = keras.ops.convert_to_numpy(layer.competition(images))
    wins = np.bincount(drives.argmax(axis=1), minlength=UNITS)
    dead = f"{np.mean(wins == 0):.0%} never win"
    if isinstance(layer, kh.LateralInhibitionSparse):
        active = keras.ops.convert_to_numpy(keras.ops.sigmoid(drives)).mean()
        return f"{dead}\nmean activity {active:.2g}"
    if isinstance(layer, kh.SelfOrganizingMap):
        errors = (
            layer.quantization_error(images),
            layer.topographic_error(images),
        )
        return "{}\nquantization {:.2f}\ntopographic {:.0%}".format(
            dead, *errors
        )
    p = getattr(layer, "p", 2)
    norms = keras.ops.convert_to_numpy(competitive.norms(layer.kernel, p))
    return f"{dead}\np-norms {norms.min():.2g} to {norms.max():.2g}"


def mosaic(kernel: np.ndarray) -> np.ndarray:
    """The units of a kernel side by side, a blank pixel between them."""
    per_row = round(UNITS**0.5)
    tiles = np.pad(
        kernel.T.reshape(UNITS, SIDE, SIDE),
        ((0, 0), (1, 0), (1, 0)),
        constant_values=np.nan,
    )
    rows = tiles.reshape(per_row, per_row, SIDE + 1, SIDE + 1)
    return rows.swapaxes(1, 2).reshape(per_row * (SIDE + 1), -1)


def draw(panels: dict[str, tuple[np.ndarray, str]], path: pathlib.Path) -> None:
    """One row of panels: a title, the weights, the measures."""
    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    for axes, (title, (kernel, text)) in zip(
        figure.subplots(1, len(panels)), panels.items(), strict=True
    ):
        largest = np.abs(kernel).max()
        signed = kernel.min() < 0
        axes.imshow(
            mosaic(kernel),
            cmap="RdBu_r" if signed else "Greys",
            vmin=-largest if signed else 0,
            vmax=largest,
            interpolation="nearest",
        )
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(text, fontsize=9)
        axes.set(xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, pil_kwargs={"optimize": True})


def picture(
    make: Callable[..., kh.LocalLearningLayer],
    given: dict[str, Any],
    panels: Panels,
    data: tuple[np.ndarray, np.ndarray],
    epochs: int,
) -> dict[str, tuple[np.ndarray, str]]:
    """The learned weights and the measures of each panel."""
    drawn = {}
    for title, changed in panels.items():
        keras.utils.set_random_seed(0)
        layer = make(UNITS, **{**given, **changed})
        model = learn(layer, data[0], epochs, batch_size=20, verbose=0)
        kernel = model.layers[0].get_weights()[0]
        drawn[title] = kernel, measures(model, data[0])
        print(title, drawn[title][1].replace("\n", ", "), sep=": ", flush=True)
    return drawn


def main(arguments: list[str] | None = None) -> None:
    """The pictures, with the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    drawn_by = {
        name: (make, given, panels)
        for make, given, pictures in (
            (kh.HebbianCompetitive, {}, COMPETING_PICTURES),
            (kh.SoftHebb, SOFT, SOFT_PICTURES),
            (kh.SoftHebb, CENTRED, CENTRED_PICTURES),
            (experiment.sparse_units, SPARSE, SPARSE_PICTURES),
            (kh.LateralInhibitionSparse, GRID, GRID_PICTURES),
            (kh.HebbianPCA, {}, PCA_PICTURES),
            (square_map, {}, MAP_PICTURES),
        )
        for name, panels in pictures.items()
    }
    parser.add_argument(
        "--only", nargs="+", choices=drawn_by, help="default: all"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=50,
        help="passes over the images (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("pictures"),
        help="folder (default: %(default)s)",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="replaces the pictures of the documentation",
    )
    args = parser.parse_args(arguments)
    output = IMAGES if args.write else args.output
    (images, labels), _ = kh.datasets.load_data("digits")
    images = images.reshape(len(images), -1)
    for name in args.only or drawn_by:
        make, given, panels = drawn_by[name]
        shown = images
        if name in SPARSE_PICTURES:
            shown = prepared(images)
        elif name in CENTRED_PICTURES:
            shown = images - images.mean(axis=0)
        drawn = picture(make, given, panels, (shown, labels), args.epochs)
        draw(drawn, output / f"{name}.png")


if __name__ == "__main__":
    main()
