import keras
import numpy as np
import pytest
from keras import ops
from minisom import MiniSom
from sklearn.datasets import load_breast_cancer

import keras_hebbian as kh
from keras_hebbian import _replicas

SAMPLES = 500


class AsymptoticDecay(keras.optimizers.schedules.LearningRateSchedule):
    """MiniSom's, and Keras's `InverseTimeDecay`, but in float64: that one is
    float32 on TensorFlow."""

    def __init__(self, initial, steps):
        self.initial, self.steps = initial, steps

    def __call__(self, step):
        return self.initial / (1 + ops.cast(step, "float64") / (self.steps / 2))


def kernel_of(layer):
    return ops.convert_to_numpy(layer.kernel).copy()


def as_minisom(layer, **arguments):
    """A MiniSom with the weights of a layer."""
    som = MiniSom(
        *layer.shape,
        len(kernel_of(layer)),
        topology=layer.topology,
        neighborhood_function=layer.neighborhood,
        **arguments,
    )
    som.get_weights()[:] = kernel_of(layer).T.reshape(*layer.shape, -1)
    return som


def fit(layer, images, **arguments):
    model = kh.HebbianSequential([keras.Input(images.shape[1:]), layer])
    model.compile()
    model.fit(images, verbose=0, **arguments)
    return model


def learned(inputs, shape=(3, 4), **arguments):
    """A layer that saw `inputs` once, and its kernel before that."""
    layer = kh.SelfOrganizingMap(shape, **arguments)
    layer.build(np.shape(inputs))
    before = kernel_of(layer)
    layer(inputs, training=True)
    return layer, before


# Wider bubbles make units equal up to rounding, and any of them may win.
KINDS = [
    ((5, 6), "rectangular", "gaussian", 2.5),
    ((6, 5), "rectangular", "bubble", 2),
    ((5, 6), "hexagonal", "gaussian", 2.5),
    ((6, 5), "hexagonal", "gaussian", 1.5),
    ((5, 6), "hexagonal", "bubble", 2),
    ((1, 9), "rectangular", "gaussian", 3.0),
]


@pytest.mark.parametrize(("shape", "topology", "neighborhood", "sigma"), KINDS)
def test_sequential_is_minisom(
    float64, digits, shape, topology, neighborhood, sigma
):
    """500 samples in ten batches, of which each has its own rates."""
    images = digits[:SAMPLES].astype("float64")
    batch, batches = SAMPLES // 10, 10
    layer = kh.SelfOrganizingMap(
        shape,
        topology,
        neighborhood=neighborhood,
        sigma=AsymptoticDecay(sigma, batches),
        learning_rate=AsymptoticDecay(0.2, batches),
        update="sequential",
    )
    layer.build((None, 64))
    som = as_minisom(layer, sigma=sigma, learning_rate=0.2)
    for number, image in enumerate(images):
        som.update(image, som.winner(image), number // batch, batches)
    before = kernel_of(layer)
    fit(layer, images, batch_size=batch, shuffle=False)
    after = kernel_of(layer)
    expected = som.get_weights().reshape(-1, 64).T
    assert np.abs(expected - before).max() > 0.3
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-9)
    assert int(layer.iterations) == batches

    assert layer.quantization_error(images) == pytest.approx(
        som.quantization_error(images), abs=1e-9
    )
    error = som.topographic_error(images)
    assert layer.topographic_error(images) == pytest.approx(error, abs=1e-9)
    if topology == "rectangular" or shape[1] % 2:  # MiniSom mixes up the others
        found = layer.distance_map()
        expected = som.distance_map(scaling="mean")
        np.testing.assert_allclose(found / found.max(), expected, atol=1e-9)


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_batches_of_one_sample_are_the_training_of_minisom(
    float64, digits, update
):
    images = digits[:SAMPLES].astype("float64")
    layer = kh.SelfOrganizingMap(
        (5, 6),
        sigma=AsymptoticDecay(2.0, SAMPLES),
        learning_rate=AsymptoticDecay(0.5, SAMPLES),
        update=update,
    )
    layer.build((None, 64))
    som = as_minisom(layer, sigma=2.0, learning_rate=0.5)
    som.train(images, SAMPLES)
    fit(layer, images, batch_size=1, shuffle=False)
    expected = som.get_weights().reshape(-1, 64).T
    np.testing.assert_allclose(kernel_of(layer), expected, rtol=0, atol=1e-9)


def test_a_batch_is_the_loop_with_the_winners_of_its_start(float64, digits):
    """All samples weigh the same, and move a unit as far as one by one."""
    images = digits[:60].astype("float64")
    layer, before = learned(images, (4, 4), sigma=1.2, learning_rate=0.3)
    places = np.array([(i, j) for i in range(4) for j in range(4)])
    weighted, shares, stays = np.zeros((64, 16)), np.zeros(16), np.ones(16)
    for image in images:
        winner = np.linalg.norm(image[:, None] - before, axis=0).argmin()
        apart = np.linalg.norm(places - places[winner], axis=1)
        share = np.exp(-(apart**2) / (2 * 1.2**2))
        weighted += share * image[:, None]
        shares += share
        stays *= 1 - 0.3 * share
    expected = stays * before + (1 - stays) * weighted / shares
    np.testing.assert_allclose(kernel_of(layer), expected, rtol=0, atol=1e-12)


def test_outputs_are_negative_squared_distances(digits):
    layer, _ = learned(digits[:50])
    outputs = ops.convert_to_numpy(layer(digits[50:60]))
    apart = digits[50:60, :, None] - kernel_of(layer)
    np.testing.assert_allclose(outputs, -(apart**2).sum(axis=1), rtol=1e-4)
    drives = ops.convert_to_numpy(layer.competition(digits[50:60]))
    np.testing.assert_array_equal(outputs, drives)


def test_an_activation_applies_to_the_outputs(digits):
    plain, _ = learned(digits[:20])
    layer, _ = learned(digits[:20], activation="softmax")
    layer.set_weights(plain.get_weights())
    distances = ops.convert_to_numpy(plain(digits[20:40]))
    shares = np.exp(distances - distances.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(digits[20:40])),
        shares / shares.sum(axis=1, keepdims=True),
        rtol=1e-3,
        atol=1e-6,
    )


def test_the_ends_of_a_ring_are_alike(digits):
    for toroidal in (False, True):
        layer = kh.SelfOrganizingMap(24, toroidal=toroidal, sigma=3.0)
        fit(layer, digits, epochs=2, callbacks=[kh.LinearRateDecay(0.5)])
        kernel = kernel_of(layer)
        ends, across = (
            np.linalg.norm(kernel[:, 0] - kernel[:, other])
            for other in (23, 12)
        )
        assert (ends < 0.5 * across) == toroidal


TABLE = load_breast_cancer().data
TABLE = ((TABLE - TABLE.mean(axis=0)) / TABLE.std(axis=0)).astype("float32")


@pytest.mark.parametrize("data", ["images", "table"])
def test_defaults_make_maps_as_good_as_those_of_minisom(digits, data):
    """Of images in [0, 1] and of a table with both signs, whatever the batch;
    errors on the same data after the same number of samples."""
    samples = digits if data == "images" else TABLE
    epochs = 12 if data == "images" else 20
    som = MiniSom(8, 8, samples.shape[1], sigma=1.5, random_seed=0)
    som.random_weights_init(samples)
    som.train(samples, epochs * len(samples), random_order=True)
    for batch_size in (20, 100):
        layer = kh.SelfOrganizingMap((8, 8))
        decay = kh.LinearRateDecay()
        model = fit(
            layer,
            samples,
            batch_size=batch_size,
            epochs=epochs,
            callbacks=[decay],
        )
        error = layer.quantization_error(samples)
        assert error < 1.03 * som.quantization_error(samples)
        error = layer.topographic_error(samples)
        assert error < 0.03 + som.topographic_error(samples)
        winners = model.predict(samples, verbose=0).argmax(axis=1)
        assert len(set(winners)) >= 62


def test_other_grids_and_neighbourhoods_are_ordered_as_well(digits):
    for given in (
        {"topology": "hexagonal"},
        {"neighborhood": "bubble"},
        {"toroidal": True},
    ):
        layer = kh.SelfOrganizingMap((8, 8), **given)
        fit(
            layer,
            digits,
            batch_size=100,
            epochs=12,
            callbacks=[kh.LinearRateDecay()],
        )
        assert layer.topographic_error(digits) < 0.3


def test_the_history_and_the_monitor_have_the_errors(digits):
    layer = kh.SelfOrganizingMap((4, 4))
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    history = model.fit(digits, epochs=3, verbose=0).history
    errors = history["quantization_error"]
    assert errors == sorted(errors, reverse=True)
    # Of recent samples, and each of them before it was learned.
    error = layer.quantization_error(digits)
    assert errors[-1] == pytest.approx(error, rel=0.1)
    few = digits[:300]
    history = model.fit(
        digits,
        initial_epoch=1,
        epochs=2,
        callbacks=[kh.LearningMonitor(few), kh.LinearRateDecay()],
        verbose=0,
    ).history
    for name in ("quantization_error", "topographic_error"):
        expected = getattr(layer, name)(few)
        assert history[name][-1] == pytest.approx(expected, abs=1e-5)
    assert history["sigma"] == [1.0]


def test_the_reported_error_is_that_of_the_first_batch(digits):
    layer, before = learned(digits[:40])
    apart = np.linalg.norm(digits[:40, :, None] - before, axis=1)
    error = float(layer.report()["quantization_error"])
    assert error == pytest.approx(apart.min(axis=1).mean(), rel=1e-5)


def test_errors_are_those_of_all_samples_in_any_shape(digits):
    layer, _ = learned(digits[:100])
    many = np.concatenate([digits, digits[:500]])
    weighted = (1437 * layer.topographic_error(digits)) + (
        500 * layer.topographic_error(digits[:500])
    )
    error = layer.topographic_error(many)
    assert error == pytest.approx(weighted / 1937, abs=1e-6)
    assert layer.topographic_error(many[:1900].reshape(19, 100, 64)) == (
        pytest.approx(layer.topographic_error(many[:1900]))
    )


@pytest.mark.parametrize("values", [np.ones((3, 5)), np.ones((0, 64))])
def test_errors_of_what_does_not_fit_are_refused(digits, values):
    layer, _ = learned(digits[:10])
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        layer.quantization_error(values)
    with pytest.raises(ValueError, match="to be built"):
        kh.SelfOrganizingMap(4).topographic_error(digits)
    with pytest.raises(ValueError, match="to be built"):
        kh.SelfOrganizingMap(4).distance_map()


@pytest.mark.parametrize("update", ["batch", "sequential"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_an_unusable_batch_is_skipped(digits, value, update):
    images = digits[:20].copy()
    images[3, 4] = value
    layer, before = learned(images, update=update)
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert (int(layer.iterations), int(layer.skipped)) == (0, 1)
    layer(digits[:20], training=True)
    assert np.abs(kernel_of(layer) - before).max() > 0
    assert (int(layer.iterations), int(layer.skipped)) == (1, 1)


def test_an_absurd_rate_of_a_sequential_map_is_skipped(digits):
    layer, before = learned(
        digits[:20], update="sequential", learning_rate=1e25
    )
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert (int(layer.iterations), int(layer.skipped)) == (0, 1)


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_a_compiled_step_skips_a_batch_whose_squares_overflow(digits, update):
    if keras.backend.backend() == "torch":
        pytest.skip("torch does not use XLA")
    layer = kh.SelfOrganizingMap((3, 4), update=update)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile(jit_compile=True)
    before = kernel_of(layer)
    images = digits[:20].copy()
    images[3, 4] = 1e30
    model.train_on_batch(images)
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert (int(layer.iterations), int(layer.skipped)) == (0, 1)
    model.train_on_batch(digits[:20])
    assert np.isfinite(kernel_of(layer)).all()
    assert np.abs(kernel_of(layer) - before).max() > 0
    assert (int(layer.iterations), int(layer.skipped)) == (1, 1)


def test_missing_values_are_refused(digits):
    table = digits[:20].copy()
    table[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"Expected finite inputs.*nan"):
        fit(kh.SelfOrganizingMap((3, 4)), table)


def test_sequential_is_refused_on_several_replicas(monkeypatch, digits):
    monkeypatch.setattr(_replicas, "replica_count", lambda: 2)
    with pytest.raises(ValueError, match=r"Expected `update='batch'`.* Rec"):
        learned(digits[:2], update="sequential")


@pytest.mark.parametrize("update", ["batch", "sequential"])
@pytest.mark.parametrize(
    ("policy", "scale"),
    [("mixed_bfloat16", 1), ("mixed_float16", 1), ("mixed_float16", 255)],
)
def test_a_mixed_policy_learns_as_much(digits, policy, scale, update):
    images = digits[:400] * np.float32(scale)
    errors = []
    for dtype in ("float32", policy):
        keras.utils.set_random_seed(1)
        layer = kh.SelfOrganizingMap((5, 5), update=update, dtype=dtype)
        fit(
            layer,
            images,
            batch_size=40,
            epochs=5 if update == "batch" else 2,
            callbacks=[kh.LinearRateDecay()],
        )
        assert {weight.dtype for weight in layer.weights} == {
            "float32",
            "int32",
        }
        full = kh.SelfOrganizingMap((5, 5))
        full.build((None, 64))
        full.kernel.assign(kernel_of(layer))
        errors.append(full.quantization_error(images))
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


def test_narrow_errors_are_those_of_images_up_to_255(digits):
    images = 255 * digits[:200]
    layer = kh.SelfOrganizingMap((4, 4), dtype="mixed_float16")
    layer.build((None, 64))
    layer.kernel.assign(images[:16].T)
    apart = images[..., None] - images[:16].T
    expected = np.linalg.norm(apart, axis=1).min(axis=1).mean()
    error = layer.quantization_error(images)
    assert error == pytest.approx(expected, rel=0.01)


def test_units_learn_patches(digits):
    units = kh.SelfOrganizingMap((3, 3), sigma=1.0)
    layer = kh.Convolution(units, 3, strides=2)
    images = digits[:20].reshape(-1, 8, 8, 1)
    layer(images, training=True)
    patches = np.stack(
        [
            images[:, i : i + 3, j : j + 3].reshape(-1, 9)
            for i in (0, 2, 4)
            for j in (0, 2, 4)
        ],
        axis=1,
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(images)).reshape(20, 9, 9),
        ops.convert_to_numpy(units(patches)),
        atol=1e-5,
    )


def test_a_constraint_holds_after_each_batch(digits):
    for update in ("batch", "sequential"):
        layer, before = learned(
            digits[:30] - 0.5, update=update, kernel_constraint="non_neg"
        )
        assert before.min() < 0
        assert kernel_of(layer).min() == 0


def test_config_keeps_everything():
    given = {
        "shape": (4, 6),
        "topology": "hexagonal",
        "toroidal": True,
        "neighborhood": "bubble",
        "sigma": keras.optimizers.schedules.InverseTimeDecay(3.0, 10, 1.0),
        "learning_rate": 0.25,
        "update": "sequential",
        "kernel_initializer": "ones",
    }
    layer = kh.SelfOrganizingMap(**given)
    copy = kh.SelfOrganizingMap.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.grid == layer.grid
    assert copy.units == 24
    assert kh.SelfOrganizingMap([3, 2]).shape == (3, 2)
    assert kh.SelfOrganizingMap(7).shape == (7,)


def test_a_sigma_of_0_is_saved_and_loaded(tmp_path):
    model = kh.HebbianSequential(
        [keras.Input((4,)), kh.SelfOrganizingMap((2, 3))]
    )
    model.layers[0].sigma = 0.0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.layers[0].sigma) == 0


def test_half_the_longer_side_learns_at_the_start():
    assert kh.SelfOrganizingMap((4, 30)).sigma == 15
    assert kh.SelfOrganizingMap(9).sigma == 4.5


BAD_ARGUMENTS = [
    {"shape": 1},
    {"shape": (0, 5)},
    {"shape": (2, 2, 2)},
    {"shape": 2.5},
    {"topology": "triangular"},
    {"neighborhood": "mexican_hat"},
    {"sigma": -1.0},
    {"sigma": "wide"},
    {"sigma": float("nan")},
    {"learning_rate": -0.1},
    {"learning_rate": None},
    {"update": "online"},
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS, ids=str)
def test_bad_arguments_are_refused(arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(ValueError, match=f"Expected `{name}`.* Received: "):
        kh.SelfOrganizingMap(**{"shape": (3, 4), **arguments})


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_close_units_are_told_apart_in_mixed_precision(policy):
    layer = kh.SelfOrganizingMap((2, 2), dtype=policy)
    layer.build((None, 2))
    layer.kernel.assign([[0, 0.5, 10, 10.5], [0, 0, 10, 10]])
    x = np.array([[0.1, 0], [0.4, 0], [10.1, 10], [10.4, 10]], "float32")
    drives = ops.convert_to_numpy(layer.competition(x))
    np.testing.assert_array_equal(drives.argmax(axis=1), [0, 1, 2, 3])
    assert layer.quantization_error(x) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="tensors with a gradient"
)
def test_measures_take_tensors_that_have_a_gradient():
    layer = kh.SelfOrganizingMap((2, 2))
    layer.build((None, 2))
    x = ops.convert_to_tensor(np.eye(2, dtype="float32"))
    expected = layer.quantization_error(x)
    assert layer.quantization_error(x.requires_grad_()) == expected
