import os

import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
import oracles
from keras_hebbian import _replicas

NOTEBOOK = {
    "sparsity": 0.01,
    "learning_rate": 0.01,
    "threshold_rate": 1.0,
    "inhibition_rate": 5e-4,
    "norm": None,
    "kernel_initializer": keras.initializers.RandomUniform(0.1, 1.0),
}
"""The arguments of the SparseDream notebook."""


def sparse(units, **arguments):
    return kh.LateralInhibitionSparse(units, **{**NOTEBOOK, **arguments})


MNIST = os.environ.get("MNIST_NPZ")  # a file of MNIST, if there is one


def state_of(layer):
    return {
        name: ops.convert_to_numpy(weight.value).copy()
        for name, weight in layer.state.items()
    }


def loop(start, samples, **given):
    """What the notebook's loop makes of a state, by name."""
    kernel, threshold, inhibition = oracles.lateral_inhibition(
        start["kernel"].T,
        start["threshold"][:, None],
        start["inhibition"],
        samples,
        **given,
    )
    return {
        "kernel": kernel.T,
        "threshold": threshold[:, 0],
        "inhibition": inhibition,
    }


def samples_for(count):
    """Real images: MNIST, or scanned digits and what they look like turned."""
    (images, _), _ = kh.datasets.load_data(MNIST or "digits")
    images = np.concatenate([images, images[:, ::-1]])
    return images[:count].reshape(count, -1).astype("float64")


@pytest.mark.parametrize(
    ("batch_size", "jit_compile"),
    [(100, "auto"), (7, "auto"), (1, "auto"), (100, True)],
)
def test_sequential_is_the_loop_of_the_notebook(
    float64, batch_size, jit_compile
):
    if jit_compile is True and keras.backend.backend() == "torch":
        pytest.skip("needs a C++ compiler on torch")
    count = 2000 if batch_size == 100 else 300
    samples = samples_for(count)
    layer = sparse(
        100,
        sparsity=0.01,
        learning_rate=0.02,
        threshold_rate=1.0,
        inhibition_rate=1e-3,
        update="sequential",
    )
    model = kh.HebbianSequential([keras.Input(samples.shape[1:]), layer])
    start = state_of(layer)
    expected = loop(
        start,
        samples,
        sp=0.01,
        xi=0.02,
        gamma=1.0,
        beta=1e-3,
    )
    model.compile(jit_compile=jit_compile)
    model.fit(samples, batch_size=batch_size, shuffle=False, verbose=0)
    learned = state_of(layer)
    for name, oracle in expected.items():
        assert learned[name].dtype == np.float64
        np.testing.assert_allclose(learned[name], oracle, rtol=0, atol=1e-8)


def learned(inputs, **arguments):
    """A layer that saw `inputs` once, and its state before that."""
    layer = sparse(**{"units": 12, "sparsity": 0.1, **arguments})
    layer.build(np.shape(inputs))
    before = state_of(layer)
    layer(inputs, training=True)
    return layer, before


def test_a_batch_of_one_is_a_sequence_of_one(digits):
    states = []
    for update in ("batch", "sequential"):
        keras.utils.set_random_seed(3)
        layer, _ = learned(digits[:1], update=update)
        states.append(state_of(layer))
    for name in states[0]:
        np.testing.assert_allclose(
            states[0][name], states[1][name], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_leading_axes_are_samples(digits, update):
    states = []
    for shape in ((24, 64), (4, 6, 64)):
        keras.utils.set_random_seed(3)
        layer, _ = learned(digits[:24].reshape(shape), update=update)
        assert layer(digits[:24].reshape(shape)).shape == (*shape[:-1], 12)
        states.append(state_of(layer))
    for name in states[0]:
        np.testing.assert_allclose(
            states[0][name], states[1][name], rtol=1e-4, atol=1e-5
        )


def test_outputs_are_the_activity_after_inhibition(digits):
    layer, _ = learned(digits[:50], inhibition_rate=0.1)
    state = state_of(layer)
    drive = digits[50:60] @ state["kernel"] - state["threshold"]
    logits = drive - 1 / (1 + np.exp(-drive)) @ state["inhibition"].T
    outputs = ops.convert_to_numpy(layer(digits[50:60]))
    np.testing.assert_allclose(outputs, 1 / (1 + np.exp(-logits)), rtol=1e-3)
    layer.activation = keras.activations.linear
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(digits[50:60])), logits, rtol=1e-4
    )


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_a_coarse_precision_is_that_of_the_loop(float64, digits, update):
    keras.config.set_floatx("float32")  # a layer of float64 is one still
    sample = digits[:1].astype("float64") * 0.9
    layer, start = learned(
        sample,
        update=update,
        learning_rate=0.1,
        inhibition_rate=0.1,
        precision=0.2,
        dtype="float64",
    )
    expected = loop(
        start,
        sample,
        sp=0.1,
        xi=0.1,
        gamma=1.0,
        beta=0.1,
        prec=0.2,
    )
    state = state_of(layer)
    assert 0 < np.mean(state["kernel"] == 0) < 1
    for name, oracle in expected.items():
        np.testing.assert_allclose(state[name], oracle, rtol=1e-10)


def test_units_start_on_target_without_thresholds_or_inhibition():
    layer = sparse(12, sparsity=0.1)
    layer.build((None, 64))
    start = state_of(layer)
    assert 0.1 <= start["kernel"].min() < 0.2
    assert 0.9 < start["kernel"].max() <= 1
    np.testing.assert_array_equal(start["threshold"], np.zeros(12))
    np.testing.assert_array_equal(start["inhibition"], np.zeros((12, 12)))
    np.testing.assert_allclose(start["activity"], np.full(12, 0.1))


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_activity_is_an_average_over_ten_wins(float64, digits, update):
    keras.config.set_floatx("float32")
    still = dict.fromkeys(
        ("learning_rate", "threshold_rate", "inhibition_rate"), 0
    )
    layer, before = learned(
        digits[:40], update=update, dtype="float64", **still
    )
    np.testing.assert_allclose(before["activity"], 0.1, rtol=1e-6)
    outputs = ops.convert_to_numpy(layer(digits[:40]))
    old = np.exp(-40 / 100)  # of 100 samples 10 are wins
    np.testing.assert_allclose(
        state_of(layer)["activity"],
        old * before["activity"] + (1 - old) * outputs.mean(axis=0),
        rtol=1e-10,
    )


def test_one_by_one_is_refused_on_several_replicas(monkeypatch, digits):
    monkeypatch.setattr(_replicas, "replica_count", lambda: 2)
    with pytest.raises(ValueError, match=r"Expected `update='batch'`.* Rec"):
        learned(digits[:2], update="sequential")


def test_thresholds_bring_the_activity_to_the_sparsity(digits):
    layer = sparse(20, sparsity=0.05)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    history = model.fit(
        digits,
        batch_size=20,
        epochs=30,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    ).history
    assert set(history) == {
        "activity",
        "silent",
        "inhibition",
        "local_learning_rate",
        "threshold_rate",
        "inhibition_rate",
    }
    outputs = model.predict(digits, verbose=0)
    assert outputs.mean() == pytest.approx(0.05, rel=0.2)
    assert history["activity"][-1] == pytest.approx(1, rel=0.2)
    assert history["silent"][-1] == np.mean(outputs.mean(axis=0) < 0.005)


def test_inhibition_has_no_self_and_can_be_kept_non_negative(digits):
    for non_negative, update in (
        (False, "batch"),
        (True, "batch"),
        (True, "sequential"),
    ):
        layer, _ = learned(
            digits[:100],
            inhibition_rate=0.1,
            threshold_rate=0.01,
            update=update,
            non_negative_inhibition=non_negative,
            kernel_initializer=keras.initializers.RandomNormal(0.0, 1.0),
        )
        inhibition = state_of(layer)["inhibition"]
        np.testing.assert_array_equal(np.diag(inhibition), 0)
        np.testing.assert_allclose(inhibition, inhibition.T, atol=1e-5)
        assert (inhibition.min() < 0) != non_negative
        assert inhibition.max() > 0


@pytest.mark.parametrize("update", ["batch", "sequential"])
@pytest.mark.parametrize("non_negative", [False, True])
def test_one_sample_too_quiet_excites_if_it_may(digits, update, non_negative):
    layer, _ = learned(
        digits[:1],
        sparsity=0.8,
        threshold_rate=0,
        inhibition_rate=0.1,
        update=update,
        kernel_initializer="zeros",
        non_negative_inhibition=non_negative,
    )
    # Every unit answers with 1/2.
    pair = 0 if non_negative else 0.1 * (0.5**2 - 0.8**2)
    np.testing.assert_allclose(
        state_of(layer)["inhibition"], pair * (1 - np.eye(12)), rtol=1e-5
    )


def test_the_report_is_of_the_state():
    layer = sparse(3, sparsity=0.1)
    layer.build((None, 2))
    layer.activity.assign([0.2, 0.09, 0.001])
    layer.inhibition.assign([[0, -1, 2], [0, 0, 0], [0, 3, 0]])
    report = {name: float(value) for name, value in layer.report().items()}
    assert report == pytest.approx(
        {"activity": 0.97, "silent": 1 / 3, "inhibition": 1.0}
    )


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_only_training_moves_the_state(digits, update):
    layer, _ = learned(digits[:20], update=update)
    before = state_of(layer)
    layer(digits[:50])
    layer.trainable = False
    layer(digits[:50], training=True)
    for name, value in state_of(layer).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_learns_above_a_trainable_layer(digits, digit_labels, update):
    layer = sparse(12, sparsity=0.1, update=update)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(20, activation="relu"),
            layer,
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss)
    before = [each.get_weights()[0] for each in model.layers]
    model.fit(digits[:40], digit_labels[:40], verbose=0)
    for old, each in zip(before, model.layers, strict=True):
        assert np.abs(each.get_weights()[0] - old).max() > 0


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_a_mixed_policy_keeps_the_state_in_float32(digits, update):
    layer, before = learned(digits[:40], update=update, dtype="mixed_bfloat16")
    assert {v.dtype for v in layer.weights} == {"float32", "int32"}
    outputs = layer(digits[:5])
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    after = state_of(layer)
    for name, value in before.items():
        assert np.isfinite(after[name]).all()
        assert np.abs(after[name] - value).max() > 0


def test_layers_can_be_stacked(digits):
    model = kh.HebbianSequential(
        [
            keras.Input((64,)),
            sparse(20, sparsity=0.05, name="low"),
            sparse(5, sparsity=0.2, name="high"),
        ]
    )
    model.compile()
    before = [state_of(layer) for layer in model.layers]
    history = model.fit(digits[:100], verbose=0).history
    assert {"low_activity", "high_activity"} <= set(history)
    for layer, old in zip(model.layers, before, strict=True):
        for name, value in state_of(layer).items():
            assert np.abs(value - old[name]).max() > 0


def test_config_and_file_keep_everything(digits, tmp_path):
    layer = sparse(
        12,
        sparsity=0.2,
        learning_rate=0.5,
        threshold_rate=0.25,
        inhibition_rate=0.125,
        update="sequential",
        precision=1e-20,
        activation="linear",
        kernel_initializer="ones",
        non_negative_inhibition=True,
    )
    copy = kh.LateralInhibitionSparse.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert isinstance(copy.kernel_initializer, keras.initializers.Ones)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(digits[:10], verbose=0)
    model.save(tmp_path / "model.keras")
    (restored,) = keras.models.load_model(tmp_path / "model.keras").layers
    for name, value in state_of(layer).items():
        np.testing.assert_array_equal(state_of(restored)[name], value)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_unfit_values_are_refused_where_they_can_be_seen(digits, value):
    images = digits[:20].copy()
    layer, _ = learned(images)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    before = state_of(layer)
    images[3, 4] = value
    with pytest.raises(ValueError, match="Expected finite, non-negative"):
        model.fit(images, verbose=0)
    layer(images, training=True)
    assert int(layer.skipped) == 1
    for name, old in before.items():
        np.testing.assert_array_equal(state_of(layer)[name], old)


@pytest.mark.parametrize("update", ["batch", "sequential"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_unfit_values_teach_nothing_where_they_cannot(digits, value, update):
    layer, _ = learned(digits[:20], update=update)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    before = state_of(layer)
    images = digits[:20].copy()
    images[3, 4] = value
    model.train_on_batch(images)
    for name, old in before.items():
        np.testing.assert_array_equal(state_of(layer)[name], old)
    assert (int(layer.iterations), int(layer.skipped)) == (1, 1)
    model.train_on_batch(digits[:20])
    assert (int(layer.iterations), int(layer.skipped)) == (2, 1)
    assert np.abs(state_of(layer)["kernel"] - before["kernel"]).max() > 0


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_all_zero_inputs_leave_the_state_finite(update):
    layer, _ = learned(np.zeros((20, 64), dtype="float32"), update=update)
    for value in state_of(layer).values():
        assert np.isfinite(value).all()


BAD_ARGUMENTS = [
    {"units": 1},
    {"sparsity": 0.0},
    {"sparsity": 1.0},
    {"sparsity": float("nan")},
    {"learning_rate": -1},
    {"threshold_rate": "fast"},
    {"inhibition_rate": None},
    {"update": "online"},
    {"precision": 0},
    {"topography": (3, 5)},
    {"topography": (3, 2, 2)},
    {"topography": 12.0},
    {"topography": "square"},
    {"topography": ()},
    {"excitation": 1.0},
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS, ids=str)
def test_bad_arguments_are_refused(arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(ValueError, match=rf"Expected `{name}`.* Received: "):
        sparse(**{"units": 12, **arguments})


def bars(count, rng):
    """Foldiak's images: each of 16 bars of 8 x 8 pixels, with chance 1/8."""
    present = rng.random((count, 16)) < 1 / 8
    rows = present[:, :8, None] | np.zeros((1, 1, 8), dtype=bool)
    columns = present[:, None, 8:] | np.zeros((1, 8, 1), dtype=bool)
    return (rows | columns).reshape(count, 64).astype("float32")


BARS = np.concatenate(
    [
        np.kron(np.eye(8), np.ones((1, 8))).reshape(8, 64),
        np.kron(np.ones((1, 8)), np.eye(8)).reshape(8, 64),
    ]
)


def test_the_bars_are_bars():
    assert (BARS.sum(axis=1) == 8).all()
    images = bars(2000, np.random.default_rng(0))
    # A pixel is dark where neither of its two bars is present.
    assert images.mean() == pytest.approx(1 - (7 / 8) ** 2, abs=0.01)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("update", "epochs"), [("batch", 10), ("sequential", 6)]
)
def test_every_bar_is_found_by_some_unit(update, epochs, seed):
    keras.utils.set_random_seed(seed)
    layer = sparse(
        20,
        sparsity=1 / 16,
        learning_rate=0.05,
        threshold_rate=0.1,
        inhibition_rate=0.05,
        update=update,
    )
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(
        bars(2000, np.random.default_rng(seed)),
        batch_size=20,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    kernel = state_of(layer)["kernel"]
    cosines = BARS @ (kernel / np.linalg.norm(kernel, axis=0)) / np.sqrt(8)
    assert cosines.max(axis=1).min() > 0.9


def test_what_is_usable():
    dtype = "float32"
    largest = float(np.finfo(dtype).max)
    layer = sparse(4)
    usable = [(value, True) for value in (0, -0.0, 1, largest)]
    unusable = [-1e-6, -largest, np.inf, -np.inf, np.nan]
    for value, expected in usable + [(value, False) for value in unusable]:
        inputs = np.full((50, 30), largest if value == largest else 0.5, dtype)
        inputs[3, 7] = value
        found = layer.usable(ops.convert_to_tensor(inputs))
        assert bool(ops.convert_to_numpy(found)) == expected, value
    assert layer.usable(ops.zeros((0, 3), dtype))


@pytest.mark.parametrize("update", ["batch", "sequential"])
def test_with_a_norm_samples_and_units_have_it(float64, digits, update):
    """The rule without it, on scaled samples, and scaled after each step."""
    images = digits[:20].astype("float64")
    scaled = images * (16 / np.linalg.norm(images, axis=1, keepdims=True))
    layer, plain = (
        sparse(12, sparsity=0.1, update=update, norm=norm)
        for norm in (16.0, None)
    )
    for each in (layer, plain):
        each.build((None, 64))
    start = state_of(layer)["kernel"]
    np.testing.assert_allclose(np.linalg.norm(start, axis=0), 16)
    plain.kernel.assign(start)
    steps = [slice(0, 20)]
    if update == "sequential":
        steps = [slice(i, i + 1) for i in range(20)]
    for step in steps:
        plain(scaled[step], training=True)
        kernel = state_of(plain)["kernel"]
        plain.kernel.assign(16 * kernel / np.linalg.norm(kernel, axis=0))
    outputs = ops.convert_to_numpy(layer(images))
    logits = scaled @ start
    first = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(outputs, first, rtol=1e-6, atol=1e-12)
    layer(images, training=True)
    for name in ("kernel", "threshold", "inhibition"):
        np.testing.assert_allclose(
            state_of(layer)[name], state_of(plain)[name], atol=1e-9
        )


def test_brightness_does_not_matter_with_a_norm(digits):
    layer = kh.LateralInhibitionSparse(12)
    layer.build((None, 64))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(digits[:20] / 4)),
        ops.convert_to_numpy(layer(digits[:20])),
        rtol=1e-3,
        atol=1e-6,
    )


@pytest.mark.parametrize("norm", [0, -1.0, "one", float("nan")])
def test_a_norm_that_is_no_length_is_refused(norm):
    with pytest.raises(ValueError, match=r"Expected `norm`.*Received"):
        kh.LateralInhibitionSparse(4, norm=norm)


@pytest.mark.parametrize("batch_size", [20, 100])
def test_defaults_leave_no_unit_silent(digits, batch_size):
    layer = kh.LateralInhibitionSparse(100)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    history = model.fit(
        digits,
        batch_size=batch_size,
        epochs=20,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    ).history
    assert history["silent"][-1] == 0
    assert history["activity"][-1] == pytest.approx(1, abs=0.2)


def grid_of(units, columns):
    """Which units are neighbours, one pair after another."""
    places = [divmod(unit, columns) for unit in range(units)]
    return np.array(
        [
            [max(abs(a - c), abs(b - d)) == 1 for c, d in places]
            for a, b in places
        ]
    )


@pytest.mark.parametrize(("batch_size", "columns"), [(40, 4), (1, 12)])
def test_on_a_grid_it_is_the_loop_with_excited_neighbours(
    float64, digits, batch_size, columns
):
    samples = digits[:40].astype("float64")
    layer = sparse(
        12,
        update="sequential",
        inhibition_rate=0.01,
        topography=columns if columns == 12 else (3, columns),
        excitation=0.7,
    )
    layer.build((None, 64))
    start = state_of(layer)
    expected = loop(
        start,
        samples,
        sp=0.01,
        xi=0.01,
        gamma=1.0,
        beta=0.01,
        columns=columns,
        excitation=0.7,
    )
    for first in range(0, 40, batch_size):
        layer(samples[first : first + batch_size], training=True)
    state = state_of(layer)
    for name, oracle in expected.items():
        np.testing.assert_allclose(state[name], oracle, rtol=0, atol=1e-9)


@pytest.mark.parametrize("non_negative", [False, True])
def test_on_a_grid_only_inhibition_of_the_others_is_learned(
    float64, digits, non_negative
):
    """Otherwise batches are learned as from the same inhibition without."""
    given = {
        "sparsity": 0.1,
        "inhibition_rate": 0.1,
        "non_negative_inhibition": non_negative,
    }
    layer = sparse(12, topography=(3, 4), excitation=0.5, **given)
    plain = sparse(12, **given)
    near = grid_of(12, 4)
    for each in (layer, plain):
        each.build((None, 64))
    for name, value in state_of(layer).items():
        getattr(plain, name).assign(value)
    for first in range(0, 60, 20):
        batch = digits[first : first + 20].astype("float64")
        for each in (layer, plain):
            each(batch, training=True)
        state, others = state_of(layer), state_of(plain)
        np.testing.assert_array_equal(state["inhibition"][near], -0.5)
        others["inhibition"][near] = -0.5
        for name, value in state.items():
            np.testing.assert_allclose(value, others[name], atol=1e-12)
        plain.inhibition.assign(others["inhibition"])
    assert np.abs(state["inhibition"][~near]).max() > 0.01


def test_neighbours_on_a_grid_become_alike(digits):
    """More than on any of 99 grids with the same units in random places."""
    layer = kh.LateralInhibitionSparse(36, learning_rate=0.1, topography=(6, 6))
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    history = model.fit(
        digits,
        batch_size=50,
        epochs=30,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    ).history
    assert history["excitation"][0] == pytest.approx(16**2 / 5)
    assert history["excitation"][-1] == pytest.approx(16**2 / 5 / 30)
    state = state_of(layer)
    near = grid_of(36, 6)
    np.testing.assert_allclose(
        state["inhibition"][near], -history["excitation"][-1], rtol=1e-6
    )
    alike = np.corrcoef(state["kernel"].T)
    rng = np.random.default_rng(0)
    places = (rng.permutation(36) for _ in range(99))
    chance = [alike[np.ix_(order, order)][near].mean() for order in places]
    assert alike[near].mean() > max(chance)


def test_a_grid_is_kept_by_configuration_and_file(digits, tmp_path):
    layer = sparse(12, topography=[3, 4], excitation=0.5)
    assert layer.topography == (3, 4)
    copy = kh.LateralInhibitionSparse.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    layer(digits[:20], training=True)
    layer.excitation = 0.25
    model.save(tmp_path / "model.keras")
    (loaded,) = keras.models.load_model(tmp_path / "model.keras").layers
    assert (loaded.topography, float(loaded.excitation)) == ((3, 4), 0.25)
    for each in (layer, loaded):
        each(digits[20:40], training=True)
    for name, value in state_of(layer).items():
        np.testing.assert_array_equal(state_of(loaded)[name], value)
    near = grid_of(12, 4)
    np.testing.assert_array_equal(state_of(loaded)["inhibition"][near], -0.25)


@pytest.mark.parametrize("excitation", [None, -1.0, "much", np.nan])
def test_a_grid_needs_an_excitation(excitation):
    """Without a norm there is no default."""
    with pytest.raises(ValueError, match=r"Expected `excitation`.*Received"):
        sparse(12, topography=12, excitation=excitation)
