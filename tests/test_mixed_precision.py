"""Under a mixed policy no small step is lost, and learning is as good."""

import keras
import numpy as np
import pytest

import keras_hebbian as kh

POLICIES = ["mixed_bfloat16", "mixed_float16"]
LAYERS = {
    "competing": lambda dtype, rate: kh.HebbianCompetitive(
        20, learning_rate=rate, dtype=dtype
    ),
    "sparse": lambda dtype, rate: kh.LateralInhibitionSparse(
        20, sparsity=0.05, learning_rate=rate, dtype=dtype
    ),
    "pca": lambda dtype, rate: kh.HebbianPCA(
        20, learning_rate=rate, dtype=dtype
    ),
    "map": lambda dtype, rate: kh.SelfOrganizingMap(
        20, learning_rate=rate, dtype=dtype
    ),
}


def moved(kind, policy, images, rate):
    """How far each weight of the kernel moves in 50 steps."""
    keras.utils.set_random_seed(5)
    layer = LAYERS[kind](policy, rate)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    before = layer.get_weights()[0]
    model.fit(images, batch_size=20, shuffle=False, verbose=0)
    assert (int(layer.iterations), int(layer.skipped)) == (50, 0)
    return layer.get_weights()[0] - before


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", LAYERS)
def test_small_steps_add_up(digits, kind, policy):
    # A step is 1 / 100 of what bfloat16 could add to a weight of 1.
    rates = {"competing": 4e-5, "sparse": 1e-6, "pca": 1e-5, "map": 1e-6}
    rate = rates[kind]
    mixed = moved(kind, policy, digits[:1000], rate)
    full = moved(kind, "float32", digits[:1000], rate)
    assert np.abs(full).max() > 0
    # The same distance, in the same direction.
    ratio = np.linalg.norm(mixed) / np.linalg.norm(full)
    assert ratio == pytest.approx(1, abs=0.05)
    assert np.corrcoef(mixed.ravel(), full.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("policy", POLICIES)
def test_winners_classify_as_well(digits, digit_labels, policy):
    def accuracy(dtype):
        keras.utils.set_random_seed(5)
        layer = kh.HebbianCompetitive(
            60,
            p=2,
            delta=0.1,
            learning_rate=0.04,
            kernel_initializer=keras.initializers.RandomUniform(0, 2),
            dtype=dtype,
        )
        model = kh.HebbianSequential([keras.Input((64,)), layer])
        model.compile()
        decay = kh.LinearRateDecay()
        model.fit(digits, batch_size=20, epochs=8, callbacks=[decay], verbose=0)
        classifier = kh.WinnerClassifier(10)
        outputs = digits @ layer.get_weights()[0]
        classifier.adapt(outputs, digit_labels)
        scores = keras.ops.convert_to_numpy(classifier(outputs))
        return np.mean(scores.argmax(axis=-1) == digit_labels)

    # One of 1437 digits is 0.07 points; other winners are other units.
    full, mixed = accuracy("float32"), accuracy(policy)
    assert mixed > 0.6
    assert mixed == pytest.approx(full, abs=0.04)
