"""SavedModels, loaded by TensorFlow in a process without this package."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_hebbian as kh

pytest.importorskip("tensorflow")

SERVE = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
served = tf.saved_model.load(folder + "/served")
images = np.load(folder + "/images.npy")
first = served.serve(images[:7]).numpy()
outputs = served.serve(images).numpy()
np.testing.assert_array_equal(first, served.serve(images[:7]).numpy())
np.save(folder + "/outputs.npy", outputs)
assert "keras_hebbian" not in sys.modules
"""

LAYERS = {
    "competing": lambda: kh.HebbianCompetitive(20, activation="relu"),
    "sparse": lambda: kh.LateralInhibitionSparse(20, sparsity=0.05),
}


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras exports SavedModels from TensorFlow and JAX",
)
@pytest.mark.filterwarnings("ignore:.*won no sample")
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("classify", [False, True])
def test_a_saved_model_serves_the_same(
    tmp_path, digits, digit_labels, kind, classify
):
    model = kh.HebbianSequential([keras.Input((64,)), LAYERS[kind]()])
    model.compile()
    model.fit(digits, verbose=0)
    if classify:
        classifier = kh.WinnerClassifier(10)
        activations = model.predict(digits, verbose=0)
        classifier.adapt(activations, digit_labels)
        model = keras.Sequential([*model.layers, classifier])
    expected = model.predict(digits[:50], verbose=0)
    model.export(tmp_path / "served", verbose=False)
    np.save(tmp_path / "images.npy", digits[:50])
    subprocess.run([sys.executable, "-c", SERVE, tmp_path], check=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "outputs.npy"), expected, rtol=0, atol=1e-5
    )
