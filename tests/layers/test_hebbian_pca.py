import os

import keras
import numpy as np
import pytest
from keras import ops
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA, IncrementalPCA

import keras_hebbian as kh

MNIST = os.environ.get("MNIST_NPZ")  # a file of MNIST, if there is one
every_rule = pytest.mark.parametrize("ordered", [True, False])


def kernel_of(layer):
    return ops.convert_to_numpy(layer.kernel).copy()


def state_of(layer):
    return {
        name: ops.convert_to_numpy(weight.value).copy()
        for name, weight in layer.state.items()
    }


def fitted(images, batch_size, epochs, units=10, **arguments):
    keras.utils.set_random_seed(3)
    layer = kh.HebbianPCA(units, **arguments)
    model = kh.HebbianSequential([keras.Input(images.shape[1:]), layer])
    model.compile()
    history = model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    ).history
    return layer, history


@pytest.fixture(scope="module")
def learned(digits):
    """Layers that saw the digits 60 or 15 times, and their logs."""
    return {
        (ordered, center): fitted(
            digits, 32, 60 if ordered else 15, ordered=ordered, center=center
        )
        for ordered, center in [(True, True), (True, False), (False, True)]
    }


def singular_vectors(images, center=True):
    """The first ten, `(inputs, 10)`."""
    if center:
        images = images - images.mean(axis=0)
    return np.linalg.svd(images, full_matrices=False)[2][:10].T


def cosines(kernel, vectors):
    norms = np.linalg.norm(kernel, axis=0)
    return np.abs(np.sum(kernel * vectors, axis=0)) / norms


def loops(kernel, batches, ordered, center, momentum):
    """The rules of Sanger and Oja, one sample and one unit after another.

    Sanger's unit learns by Oja's rule from what the units before it leave of
    the sample, Oja's units from what all of them leave.
    """
    kernel = kernel.copy()
    inputs, units = kernel.shape
    mean, variance, total = np.zeros(inputs), np.zeros(units), 0.0
    for t, (rate, batch) in enumerate(batches):
        n, weight = len(batch), max(1 / (t + 1), 1 - momentum)
        if center:
            mean = mean + weight * (np.mean(batch, axis=0) - mean)
        steps, products = np.zeros((inputs, units)), np.zeros((units, units))
        squares = 0.0
        for sample in batch - mean:
            y = np.array([np.dot(sample, kernel[:, u]) for u in range(units)])
            squares += np.dot(sample, sample) / n
            for u in range(units):
                sees = range(u + 1) if ordered else range(units)
                rest = sample - sum(y[v] * kernel[:, v] for v in sees)
                steps[:, u] += y[u] * rest / n
                for v in sees:
                    products[v, u] += y[v] * y[u] / n
        variance = variance + weight * (np.diag(products) - variance)
        total = total + weight * (squares - total)
        both = np.concatenate([steps, products])
        if ordered:
            longest, relative = np.linalg.norm(both, axis=0), variance
        else:
            longest, relative = np.linalg.norm(both), np.mean(variance)
        scaled = np.minimum(rate / (relative + total / n), 1 / longest)
        kernel = kernel + scaled * steps
    return {
        "kernel": kernel,
        "variance": variance,
        "total_variance": total,
        "mean": mean,
    }


@every_rule
@pytest.mark.parametrize("center", [True, False])
def test_fit_is_the_rule_in_loops(float64, digits, ordered, center):
    batch, rate, momentum = 12, 0.4, 0.95
    images = digits[: 50 * batch].astype("float64")
    layer = kh.HebbianPCA(
        5, ordered, center, learning_rate=rate, momentum=momentum
    )
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    before = kernel_of(layer)
    batches = [
        (rate * (1 - epoch / 2), images[i : i + batch])
        for epoch in range(2)
        for i in range(0, len(images), batch)
    ]
    assert len(batches) == 100
    expected = loops(before, batches, ordered, center, momentum)

    model.compile()
    model.fit(
        images,
        batch_size=batch,
        epochs=2,
        shuffle=False,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    assert np.abs(kernel_of(layer) - before).max() > 0.3
    assert ("mean" in layer.state) == center
    for name, value in state_of(layer).items():
        np.testing.assert_allclose(
            value, expected[name], rtol=0, atol=1e-9, err_msg=name
        )
    assert int(layer.iterations) == 100


def test_a_step_by_hand():
    # Samples (2, 0) and (0, 1), units (1, 0) and (1, 0): y = (2, 2), (0, 0),
    # so H = (2, 0) for both and Y = 2 everywhere. The first unit has what it
    # wants; the second gets H - 2 W0 - 2 W1 = (-2, 0). The variance of the
    # inputs is 2.5, of which a batch of 2 adds half to that of a unit, 2.
    layer = kh.HebbianPCA(2, learning_rate=0.325)
    layer.build((None, 2))
    layer.kernel.assign([[1.0, 1.0], [0.0, 0.0]])
    layer(np.array([[2.0, 0.0], [0.0, 1.0]], dtype="float32"), training=True)
    np.testing.assert_allclose(
        kernel_of(layer), [[1, 1 - 0.2], [0, 0]], rtol=1e-6
    )
    np.testing.assert_allclose(state_of(layer)["variance"], [2, 2])
    assert float(layer.total_variance) == 2.5


@pytest.mark.parametrize("center", [True, False])
def test_ordered_units_are_the_singular_vectors(digits, learned, center):
    layer, _ = learned[True, center]
    vectors = singular_vectors(digits, center)
    assert cosines(kernel_of(layer), vectors).min() >= 0.99


def test_unordered_units_span_the_subspace(digits, learned):
    layer, _ = learned[False, True]
    vectors = singular_vectors(digits)
    assert subspace_angles(kernel_of(layer), vectors).max() <= 0.05
    # Each unit is a mixture of them.
    assert cosines(kernel_of(layer), vectors).max() < 0.99


@every_rule
def test_units_become_orthonormal(learned, ordered):
    layer, history = learned[ordered, True]
    norms = np.linalg.norm(kernel_of(layer), axis=0)
    np.testing.assert_allclose(norms, 1, atol=0.01)
    assert history["orthogonality_error"][-1] < 0.01


@every_rule
def test_they_explain_as_much_as_those_of_scikit_learn(
    digits, learned, ordered
):
    layer, history = learned[ordered, True]
    other = IncrementalPCA(10, batch_size=200).fit(digits)
    explained = other.transform(digits).var(axis=0).sum()
    outputs = ops.convert_to_numpy(layer(digits))
    assert outputs.var(axis=0).sum() == pytest.approx(explained, rel=0.005)
    share = explained / digits.var(axis=0).sum()
    assert history["explained_variance"][-1] == pytest.approx(share, rel=0.005)


def test_the_variances_are_those_of_the_components(digits, learned):
    layer, _ = learned[True, True]
    exact = PCA(10).fit(digits).explained_variance_
    np.testing.assert_allclose(state_of(layer)["variance"], exact, rtol=0.05)
    np.testing.assert_allclose(
        state_of(layer)["mean"], digits.mean(axis=0), atol=0.02
    )


@pytest.mark.skipif(not MNIST, reason="needs MNIST_NPZ")
@every_rule
def test_mnist_has_the_components_of_the_svd(ordered):
    (images, _), _ = kh.datasets.load_data(MNIST)
    images = images[:10000].reshape(10000, -1)
    layer, _ = fitted(images, 100, 12, ordered=ordered, center=True)
    kernel, exact = kernel_of(layer), PCA(10).fit(images)
    if ordered:
        assert cosines(kernel, exact.components_.T).min() >= 0.99
    assert subspace_angles(kernel, exact.components_.T).max() <= 0.05
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1, atol=0.01)
    explained = (images @ kernel).var(axis=0).sum()
    assert explained == pytest.approx(
        exact.explained_variance_.sum(), rel=0.005
    )


@every_rule
@pytest.mark.parametrize("scale", [1e-12, 255.0, 1e12])
def test_the_scale_of_the_inputs_does_not_matter(digits, ordered, scale):
    one, other = (kh.HebbianPCA(6, ordered, center=True) for _ in range(2))
    for layer in (one, other):
        layer.build((None, 64))
    other.kernel.assign(kernel_of(one))
    for start in range(0, 1200, 120):
        batch = digits[start : start + 120]
        one(batch, training=True)
        other(batch * np.float32(scale), training=True)
    np.testing.assert_allclose(kernel_of(other), kernel_of(one), atol=1e-4)
    np.testing.assert_allclose(
        state_of(other)["variance"] / np.float64(scale) ** 2,
        state_of(one)["variance"],
        rtol=1e-3,
    )


WILD = {
    "heavy tails": lambda x, rng: x * np.exp(2 * rng.normal(size=(len(x), 1))),
    "outliers": lambda x, rng: (
        x * np.where(np.arange(len(x)) % 97, 1, 1e3)[:, None]
    ),
    "a large mean": lambda x, rng: x + 100,
    "one direction": lambda x, rng: x[:, :1] * np.ones(64),
}


@every_rule
@pytest.mark.parametrize("data", WILD)
@pytest.mark.parametrize("rate", [0.2, 1e6])
def test_nothing_makes_it_diverge(digits, ordered, data, rate):
    images = WILD[data](digits, np.random.default_rng(0)).astype("float32")
    layer = kh.HebbianPCA(20, ordered, learning_rate=rate)
    layer.build((None, 64))
    for start in range(0, len(images), 100):
        layer(images[start : start + 100], training=True)
        assert np.linalg.norm(kernel_of(layer), axis=0).max() < 3
    assert int(layer.skipped) == 0


@every_rule
@pytest.mark.parametrize("norm", [0.001, 20.0])
def test_any_start_comes_to_norm_1(digits, ordered, norm):
    layer = kh.HebbianPCA(3, ordered, center=True, learning_rate=0.5)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    layer.kernel.assign(kernel_of(layer) * norm)
    model.compile()
    model.fit(digits, batch_size=20, epochs=2, verbose=0)
    norms = np.linalg.norm(kernel_of(layer), axis=0)
    np.testing.assert_allclose(norms, 1, atol=0.1)


@every_rule
def test_orthonormal_components_of_the_batch_stay(digits, ordered):
    images = digits[:200] - digits[:200].mean(axis=0)
    vectors = singular_vectors(images)
    layer = kh.HebbianPCA(10, ordered, learning_rate=1.0)
    layer.build((None, 64))
    layer.kernel.assign(vectors)
    layer(images, training=True)
    np.testing.assert_allclose(kernel_of(layer), vectors, atol=1e-5)


def test_one_unit_is_the_same_rule_ordered_or_not(digits):
    kernels = []
    for ordered in (True, False):
        layer = kh.HebbianPCA(1, ordered, kernel_initializer="ones")
        for start in range(0, 400, 20):
            layer(digits[start : start + 20], training=True)
        kernels.append(kernel_of(layer))
    np.testing.assert_allclose(*kernels, atol=1e-6)


def test_centered_outputs_lack_what_the_mean_adds(digits, learned):
    layer, _ = learned[True, True]
    state = state_of(layer)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(digits[:50])),
        (digits[:50] - state["mean"]) @ state["kernel"],
        atol=1e-5,
    )


def test_the_mean_is_that_of_all_batches_at_first_and_follows_later():
    layer = kh.HebbianPCA(2, center=True, momentum=0.75)
    means = [1.0, 3.0, 5.0, 7.0, 9.0]
    for mean in means:
        layer(np.full((4, 3), mean, dtype="float32"), training=True)
    # Four batches count the same, the fifth a quarter.
    np.testing.assert_allclose(state_of(layer)["mean"], 0.75 * 4 + 0.25 * 9)


def test_a_convolution_learns_the_components_of_the_patches(digits):
    images = digits[:100].reshape(-1, 8, 8, 1)
    layer = kh.HebbianPCA(3, center=True)
    model = kh.HebbianSequential([kh.Convolution(layer, 3, padding="same")])
    model.compile()
    model.fit(images, epochs=20, callbacks=[kh.LinearRateDecay()], verbose=0)
    padded = np.pad(images[..., 0], [(0, 0), (1, 1), (1, 1)])
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    patches = patches.reshape(-1, 9)
    vectors = singular_vectors(patches)[:, :3]
    assert cosines(kernel_of(layer), vectors).min() > 0.99
    state = state_of(layer)
    np.testing.assert_allclose(
        model.predict(images, verbose=0).reshape(-1, 3),
        (patches - state["mean"]) @ state["kernel"],
        atol=1e-5,
    )


def test_the_report_by_hand():
    layer = kh.HebbianPCA(2)
    layer.build((None, 2))
    assert float(layer.report()["explained_variance"]) == 0
    layer.kernel.assign([[2.0, 0.5], [0.0, 1.0]])
    layer.variance.assign([3.0, 1.0])
    layer.total_variance.assign(5.0)
    report = layer.report()
    assert float(report["explained_variance"]) == pytest.approx(0.8)
    # The products are 4, 1, 1 and 1.25.
    assert float(report["orthogonality_error"]) == pytest.approx(5.25 / 4)


def test_a_constraint_holds_after_each_step(digits):
    layer = kh.HebbianPCA(4, kernel_constraint="non_neg")
    layer(digits[:50], training=True)
    assert kernel_of(layer).min() == 0


@pytest.mark.parametrize("center", [True, False])
def test_a_batch_with_too_large_values_is_skipped(digits, center):
    images = digits[:20].copy()
    images[3, 4] = 3e38
    layer = kh.HebbianPCA(4, center=center)
    layer(digits[20:40], training=True)
    before = state_of(layer)
    layer(images, training=True)
    for name, weight in state_of(layer).items():
        np.testing.assert_array_equal(weight, before[name])
    assert (int(layer.iterations), int(layer.skipped)) == (1, 1)


def test_all_zero_inputs_change_no_weight():
    layer = kh.HebbianPCA(4)
    layer.build((None, 64))
    before = kernel_of(layer)
    layer(np.zeros((10, 64), dtype="float32"), training=True)
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert int(layer.skipped) == 0


def test_more_units_than_inputs_are_refused():
    kh.HebbianPCA(5).build((None, 5))
    expected = "Expected `units` <= 5, the number of inputs. Received: units=6"
    with pytest.raises(ValueError, match=expected):
        kh.HebbianPCA(6)(np.ones((3, 5), dtype="float32"))


BAD_ARGUMENTS = [
    {"units": 0},
    {"units": 2.5},
    {"learning_rate": -0.1},
    {"learning_rate": None},
    {"momentum": -0.1},
    {"momentum": 1.0},
    {"momentum": float("nan")},
    {"momentum": "0.9"},
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS, ids=str)
def test_bad_arguments_are_refused(arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(ValueError, match=f"Expected `{name}`.* Received: "):
        kh.HebbianPCA(**{"units": 12, **arguments})
