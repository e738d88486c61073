"""Files keep everything, across processes, backends and versions."""

import importlib.util
import io
import pathlib
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import expit

import keras_hebbian as kh
from golden import IMAGES
from keras_hebbian._execution import KERAS_VERSION
from public_classes import IMAGES as FOUR
from public_classes import UNITS, found, found_layers, inputs_of, make, ready

FILES = sorted(pathlib.Path(__file__).parent.glob("data/*.keras"))
# Keras names the optimizers of torch by their module, which imports torch. The
# files of 0.2.0 have arguments of initializers that Keras 3.10 does not know.
GOLDEN = [
    path
    for path in FILES
    if ("torch" not in path.stem or importlib.util.find_spec("torch"))
    and ("0.1.0" in path.stem or KERAS_VERSION >= (3, 15))
]

LOAD = """
import sys
import keras_hebbian
import keras
import numpy as np

for path in sys.argv[2:]:
    model = keras.models.load_model(path, safe_mode=True)
    images = np.random.default_rng(0).random((20, 6)).astype("float32")
    outputs = model.predict(images, verbose=0)
    np.savez(sys.argv[1] + "/" + path.split("/")[-1] + ".npz", *outputs)
"""


def weights_of(path):
    """The arrays of a `.keras` file, by layer and place, read without Keras."""
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        return {
            layer: [np.array(part["vars"][i]) for i in sorted(part["vars"])]
            for layer, wrapped in file["layers"].items()
            for part in [wrapped.get("layer", wrapped)]
        }


def numpy_outputs(path):
    """What the model of `golden.py` computes, in plain NumPy."""
    weights = weights_of(path)
    if "0.1.0" in path.stem:
        yield from features_and_votes(weights)
    else:
        yield from features_and_votes(weights, norm=4)
        images = IMAGES.reshape(-1, 3, 2, 1)
        patches = sliding_window_view(images, (2, 2, 1), (1, 2, 3))
        soft = patches.reshape(-1, 2, 1, 4) @ weights["convolution"][0]
        yield np.maximum(soft - soft.mean(axis=-1, keepdims=True), 0)
        kernel, _, _, mean = weights["hebbian_pca"][:4]
        yield (IMAGES - mean) @ kernel
        prototypes = weights["self_organizing_map"][0]
        yield -((IMAGES[..., None] - prototypes) ** 2).sum(axis=1)


def features_and_votes(weights, norm=None):
    units = np.maximum(IMAGES @ weights["hebbian_competitive"][0], 0)
    kernel, threshold, inhibition = weights["lateral_inhibition_sparse"][:3]
    powers = units**1.5
    if norm is not None:
        powers *= norm / np.linalg.norm(powers, axis=-1, keepdims=True)
    drive = powers @ kernel - threshold
    sparse = expit(drive - expit(drive) @ inhibition.T)
    features = np.concatenate([units, sparse], axis=-1)
    (votes,) = weights["winner_classifier"]
    total = votes.sum(axis=-1)
    winner = np.where(total > 0, features, -np.inf).argmax(axis=-1)
    return features, votes[winner] / total[winner, None]


@pytest.mark.slow
def test_golden_files_load_in_a_bare_process_and_predict_the_same(tmp_path):
    """Files of every released version, written on each backend."""
    assert {path.stem.split("-")[1] for path in FILES} == {
        "tensorflow",
        "jax",
        "torch",
    }
    process = subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path, *GOLDEN],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    for path in GOLDEN:
        outputs = np.load(tmp_path / f"{path.name}.npz")
        for mine, expected in zip(
            outputs.values(), numpy_outputs(path), strict=True
        ):
            np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_file_keeps_counters_and_rates_and_learns_on(path):
    model = keras.models.load_model(path)
    units, sparse = (model.get_layer(name) for name in ("units", "sparse"))
    assert isinstance(model, kh.HebbianModel)
    assert isinstance(model.loss[0], kh.PowerLoss)
    assert (int(units.iterations), int(units.skipped)) == (8, 0)
    assert float(units.learning_rate) == pytest.approx(1e-4 + 0.0999 * 0.92)
    assert float(sparse.inhibition_rate) == pytest.approx(0.05)
    before = [units.get_weights()[0], sparse.get_weights()[0]]
    model(IMAGES, training=True)
    for layer, old in zip((units, sparse), before, strict=True):
        assert np.abs(layer.get_weights()[0] - old).max() > 0
        assert int(layer.iterations) == 9


@pytest.mark.parametrize("public", found_layers(), ids=lambda x: x.__name__)
def test_clones_and_weights_files_hold_every_weight(tmp_path, public):
    inputs = inputs_of(public)

    def sequential():
        return keras.Sequential([keras.Input(inputs.shape[1:]), ready(public)])

    model = sequential()
    model(inputs, training=True)
    expected = keras.ops.convert_to_numpy(model(inputs))
    model.save_weights(tmp_path / "model.weights.h5")
    from_file = sequential()
    from_file.load_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for copy in (from_file, clone):
        for mine, its in zip(
            copy.get_weights(), model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, its)
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(copy(inputs)), expected
        )


@pytest.mark.parametrize(
    "public", found(keras.losses.Loss), ids=lambda x: x.__name__
)
def test_a_loss_is_saved_with_its_model(tmp_path, public):
    model = keras.Sequential([keras.Input((UNITS,)), keras.layers.Dense(3)])
    model.compile("sgd", make(public))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.loss) is public
    labels = np.eye(3)[np.arange(len(FOUR)) % 3]
    for each in (model, loaded):
        each.evaluate(FOUR, labels, verbose=0)
    assert loaded.evaluate(FOUR, labels, verbose=0) == pytest.approx(
        model.evaluate(FOUR, labels, verbose=0)
    )
