import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
import oracles

RULES = [(2, 2), (3, 2), (3, 7), (2.5, 3)]

PAPER = {
    "p": 3,
    "delta": 0.4,
    "learning_rate": 0.02,
    "kernel_initializer": keras.initializers.RandomNormal(0.0, 1.0),
}
"""Krotov and Hopfield's arguments, with weights of both signs."""


def kernel_of(layer):
    return ops.convert_to_numpy(layer.kernel).copy()


def learned(inputs, **arguments):
    """A layer that saw `inputs` once, and its kernel before that."""
    layer = kh.HebbianCompetitive(**{"units": 12, **PAPER, **arguments})
    layer.build(np.shape(inputs))
    before = kernel_of(layer)
    layer(inputs, training=True)
    return layer, before


@pytest.mark.parametrize(("p", "k"), RULES)
def test_fit_is_the_loop_of_the_paper(float64, digits, p, k):
    batch, epochs, rate = 24, 5, 0.02
    images = digits.astype("float64") * 0.9  # no float32 holds these
    model = kh.HebbianSequential(
        [
            keras.Input((64,)),
            kh.HebbianCompetitive(
                30, **{**PAPER, "p": p, "k": k, "learning_rate": rate}
            ),
        ]
    )
    (layer,) = model.layers
    synapses = kernel_of(layer).T
    batches = [
        (rate * (1 - epoch / epochs), images[i : i + batch])
        for epoch in range(epochs)
        for i in range(0, len(images), batch)  # the last one is smaller
    ]
    assert len(batches) == 300
    expected = oracles.competing_units(synapses, batches, p, k, delta=0.4)

    model.compile()
    model.fit(
        images,
        batch_size=batch,
        epochs=epochs,
        shuffle=False,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    assert kernel_of(layer).dtype == np.float64
    assert int(layer.iterations) == 300
    np.testing.assert_allclose(kernel_of(layer).T, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("p", "k"), RULES)
def test_one_step_in_float32(digits, p, k):
    layer, before = learned(digits[:100], units=30, p=p, k=k)
    expected = oracles.competing_units(
        before.T.astype("float64"),
        [(0.02, digits[:100].astype("float64"))],
        p,
        k,
        delta=0.4,
    )
    np.testing.assert_allclose(
        kernel_of(layer).T, expected, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("precision", [1e-30, 1e6])
@pytest.mark.parametrize("p", [2, 3])
def test_one_step_of_a_float64_layer(float64, digits, p, precision):
    keras.config.set_floatx("float32")
    images = digits[:100].astype("float64") * 0.9
    layer, before = learned(images, p=p, precision=precision, dtype="float64")
    expected = oracles.competing_units(
        before.T, [(0.02, images)], p, 2, delta=0.4, prec=precision
    )
    np.testing.assert_allclose(kernel_of(layer).T, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", [2, 3])
def test_a_unit_learns_its_sample_at_p_norm_one(p):
    sample = np.array([[0.1, 0.7, 0.0, 0.4]], dtype="float32")
    layer = kh.HebbianCompetitive(2, p=p, delta=0.0, learning_rate=0.05)
    for step in range(400):
        layer(sample, training=True)
        layer.learning_rate = 0.05 * (1 - step / 400)
    dual = np.sign(kernel_of(layer)) * np.abs(kernel_of(layer)) ** (p - 1)
    winner = int(np.argmax(sample @ dual))
    weights = kernel_of(layer)[:, winner]
    norm = (sample[0] ** p).sum() ** (1 / p)
    np.testing.assert_allclose(weights, sample[0] / norm, atol=2e-3)


def test_leading_axes_are_samples(digits):
    layer, before = learned(digits[:24])
    other = kh.HebbianCompetitive(12, **PAPER)
    other.build((4, 6, 64))
    other.kernel.assign(before)
    outputs = other(digits[:24].reshape(4, 6, 64), training=True)
    assert tuple(outputs.shape) == (4, 6, 12)
    np.testing.assert_allclose(kernel_of(other), kernel_of(layer), rtol=1e-6)


def test_outputs_are_those_of_a_dense_layer(digits):
    layer = kh.HebbianCompetitive(12, p=3, activation="relu")
    dense = keras.layers.Dense(12, activation="relu", use_bias=False)
    for built in (layer, dense):
        built.build((None, 64))
    dense.set_weights([layer.get_weights()[0]])
    expected = ops.convert_to_numpy(dense(digits[:5]))
    for training in (False, True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(layer(digits[:5], training=training)),
            expected,
            rtol=1e-5,
        )
        dense.set_weights([layer.get_weights()[0]])
        expected = ops.convert_to_numpy(dense(digits[:5]))


@pytest.mark.filterwarnings("ignore:Nothing learns")
def test_only_training_moves_weights(digits):
    layer = kh.HebbianCompetitive(12)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    before = kernel_of(layer)
    model.predict(digits[:50], verbose=0)
    model.evaluate(digits[:50], verbose=0)
    layer(digits[:50])
    layer.trainable = False
    model.compile()
    model.fit(digits[:50], verbose=0)
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert int(layer.iterations) == 0
    layer.trainable = True
    model.compile()
    model.fit(digits[:50], verbose=0)
    assert np.abs(kernel_of(layer) - before).max() > 0.01


def test_gradients_pass_to_the_layers_below(digits):
    """The layers below learn as below a frozen dense layer."""
    labels = digits[:32, :3]

    def trained(middle):
        below = keras.layers.Dense(8, activation="tanh")
        top = keras.layers.Dense(3)
        model = keras.Sequential([keras.Input((64,)), below, middle, top])
        below.set_weights(weights[0])
        top.set_weights(weights[1])
        model.compile(keras.optimizers.SGD(0.1), loss="mse")
        model.fit(digits[:32], labels, batch_size=32, verbose=0)
        return below.get_weights(), top.get_weights()

    rng = np.random.default_rng(0)
    weights = [
        [rng.normal(size=(64, 8)) / 8, np.zeros(8)],
        [rng.normal(size=(12, 3)) / 4, np.zeros(3)],
    ]
    local = kh.HebbianCompetitive(12)
    local.build((None, 8))
    before = kernel_of(local)
    dense = keras.layers.Dense(12, use_bias=False, trainable=False)
    dense.build((None, 8))
    dense.set_weights([before])
    for mine, stock in zip(trained(local), trained(dense), strict=True):
        for value, expected in zip(mine, stock, strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(kernel_of(local) - before).max() > 0.01


def test_learns_above_a_convolution():
    images = np.random.default_rng(0).random((16, 8, 8, 1), dtype="float32")
    convolution = keras.layers.Conv2D(4, 3)
    layer = kh.HebbianCompetitive(6)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            convolution,
            layer,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    model.compile("sgd", loss="mse")
    before = [convolution.get_weights()[0], kernel_of(layer)]
    model.fit(images, np.ones((16, 2)), verbose=0)
    after = [convolution.get_weights()[0], kernel_of(layer)]
    for old, new in zip(before, after, strict=True):
        assert np.abs(new - old).max() > 0


def test_a_schedule_runs_on_the_iterations_of_the_layer(digits):
    once = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.0, 0.1])
    layer = kh.HebbianCompetitive(12, learning_rate=once)
    assert float(layer.learning_rate) == 0
    layer.build((None, None, 64))
    moves = []
    for _ in range(4):
        before = kernel_of(layer)
        layer(digits[:20], training=True)
        moves.append(np.abs(kernel_of(layer) - before).max())
    np.testing.assert_allclose(moves, [0, 0, 0.1, 0.1], rtol=1e-5)
    with pytest.raises(TypeError, match="Expected `learning_rate`"):
        layer.learning_rate = 0.1


def test_the_rate_can_be_assigned_while_learning(digits):
    layer = kh.HebbianCompetitive(12, learning_rate=0.3)
    assert layer.learning_rate == 0.3
    layer.learning_rate = 0.25
    assert layer.learning_rate == 0.25
    layer.build((None, 64))
    assert float(layer.learning_rate) == 0.25
    for assign in (
        lambda: layer.learning_rate.assign(0.1),
        lambda: setattr(layer, "learning_rate", 0.1),
    ):
        layer.learning_rate = 0.2
        assign()
        before = kernel_of(layer)
        layer(digits[:20], training=True)
        moved = np.abs(kernel_of(layer) - before).max()
        np.testing.assert_allclose(moved, 0.1, rtol=1e-4)
    with pytest.raises(ValueError, match="Expected `learning_rate`"):
        layer.learning_rate = -1
    assert float(layer.learning_rate) == pytest.approx(0.1)


def test_a_mixed_policy_keeps_the_state_in_float32(digits):
    layer, before = learned(digits[:100], dtype="mixed_bfloat16")
    assert {v.dtype for v in layer.weights} == {"float32", "int32"}
    outputs = layer(digits[:5])
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    plain = kh.HebbianCompetitive(12, **PAPER)
    plain.build((None, 64))
    plain.kernel.assign(before)
    plain(digits[:100], training=True)
    mixed, full = kernel_of(layer) - before, kernel_of(plain) - before
    # bfloat16 rounds the currents, so a close race may have another winner.
    assert np.corrcoef(mixed.ravel(), full.ravel())[0, 1] > 0.98
    steps = np.unique(np.abs(mixed[mixed != 0]))
    assert steps.min() < 0.02 * 2**-8  # smaller than bfloat16 could hold


def test_a_constraint_holds_after_each_step(digits):
    layer, before = learned(digits[:100], kernel_constraint="non_neg")
    assert before.min() < 0
    assert kernel_of(layer).min() == 0


def test_a_constraint_that_spoils_the_kernel_teaches_nothing(digits):
    layer, before = learned(
        digits[:100], kernel_constraint=lambda kernel: kernel * float("nan")
    )
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert (int(layer.iterations), int(layer.skipped)) == (0, 1)


def test_integers_are_cast(digits):
    integers = (digits[:20] * 16).astype("uint8")
    layer, before = learned(integers)
    other = kh.HebbianCompetitive(12, **PAPER)
    other.build((None, 64))
    other.kernel.assign(before)
    other(integers.astype("float32"), training=True)
    np.testing.assert_array_equal(kernel_of(layer), kernel_of(other))
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(integers, verbose=0)
    assert int(layer.iterations) == 2


@pytest.mark.parametrize("p", [1, 2, 2.5, 3])
def test_all_zero_inputs_change_nothing(digits, p):
    layer, before = learned(np.zeros((10, 64), dtype="float32"), p=p)
    np.testing.assert_array_equal(kernel_of(layer), before)
    padded = np.concatenate([digits[:10], np.zeros((10, 64))])
    layer(padded.astype("float32"), training=True)
    other = kh.HebbianCompetitive(12, **{**PAPER, "p": p})
    other.build((None, 64))
    other.kernel.assign(before)
    other(digits[:10], training=True)
    np.testing.assert_allclose(
        kernel_of(layer), kernel_of(other), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_unfit_values_never_reach_the_kernel(digits, value):
    layer, _ = learned(digits[:20])
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    before = kernel_of(layer)
    images = digits[:20].copy()
    images[3, 4] = value
    model.train_on_batch(images)
    layer(images, training=True)
    with pytest.raises(ValueError, match="Expected finite inputs"):
        model.fit(images, verbose=0)
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert (int(layer.iterations), int(layer.skipped)) == (1, 2)


@pytest.mark.parametrize(
    ("p", "kernel", "distance"),
    [
        # Norms 1, 1.1, 0.9 and 0.
        (2, [[0.6, 1.1, 0.9, 0.0], [0.8, 0.0, 0.0, 0.0]], 0.3),
        # 3-norms 1.05 and 0, of sums of cubes 1.157625 and 0.
        (3, [[1.05, 0.0], [0.0, 0.0]], 0.525),
    ],
)
def test_the_report_is_the_mean_distance_of_the_norms_from_1(
    p, kernel, distance
):
    layer = kh.HebbianCompetitive(len(kernel[0]), p=p)
    layer.build((None, 2))
    layer.kernel.assign(kernel)
    reported = float(layer.report()["norm_distance"])
    assert reported == pytest.approx(distance)


def test_config_and_file_keep_everything(digits, tmp_path):
    layer = kh.HebbianCompetitive(
        12,
        p=2.5,
        k=3,
        delta=0.1,
        learning_rate=0.5,
        precision=1e-20,
        activation="relu",
        kernel_initializer="ones",
        kernel_constraint="non_neg",
        name="units",
    )
    copy = kh.HebbianCompetitive.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert isinstance(copy.kernel_initializer, keras.initializers.Ones)
    assert isinstance(copy.kernel_constraint, keras.constraints.NonNeg)

    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(digits[:40], verbose=0)
    layer.learning_rate.assign(0.125)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, kh.HebbianSequential)
    (restored,) = loaded.layers
    assert float(restored.learning_rate) == 0.125
    assert int(restored.iterations) == 2
    np.testing.assert_array_equal(kernel_of(restored), kernel_of(layer))


def test_a_schedule_is_saved(tmp_path):
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 100, 0.0)
    layer = kh.HebbianCompetitive(4, learning_rate=schedule)
    json.dumps(layer.get_config())
    model = kh.HebbianSequential([keras.Input((3,)), layer])
    model.compile()
    model.fit(np.ones((50, 3)), batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    (restored,) = keras.models.load_model(tmp_path / "model.keras").layers
    assert float(restored.learning_rate) == pytest.approx(0.05)


BAD_ARGUMENTS = [
    {"units": 1},
    {"units": 2.5},
    {"units": "many"},
    {"k": 1},
    {"k": 13},
    {"k": 2.0},
    {"k": True},
    {"p": 0.5},
    {"p": float("inf")},
    {"p": float("nan")},
    {"p": "three"},
    {"delta": -0.1},
    {"delta": float("nan")},
    {"learning_rate": -0.1},
    {"learning_rate": "fast"},
    {"learning_rate": float("nan")},
    {"precision": 0},
    {"precision": -1.0},
    {"precision": 1e-50},
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS, ids=str)
def test_bad_arguments_are_refused(arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(ValueError, match=f"Expected `{name}`.* Received: "):
        kh.HebbianCompetitive(**{"units": 12, **arguments})


@pytest.mark.parametrize("shape", [(5,), (3, None)])
def test_bad_input_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"Expected inputs .* Received: "):
        kh.HebbianCompetitive(12).build(shape)


def test_another_input_dimension_is_refused(digits):
    layer, _ = learned(digits[:10])
    after = kernel_of(layer)
    for inputs in (digits[:10, :63], digits[0]):
        with pytest.raises(ValueError, match="incompatible"):
            layer(inputs, training=True)
    np.testing.assert_array_equal(kernel_of(layer), after)


def test_the_default_rate_moves_no_unit_farther_than_a_half(digits):
    layer = kh.HebbianCompetitive(12)
    assert layer.get_config()["learning_rate"] is None
    layer.build((None, 64))
    assert float(layer.learning_rate) == 0.5 / 8
    before = kernel_of(layer)
    layer(digits[:20], training=True)
    moved = np.linalg.norm(kernel_of(layer) - before, axis=0)
    assert 0 < moved.max() <= 0.5


def test_a_copy_for_other_inputs_has_their_default_rate():
    layer = kh.HebbianCompetitive(12)
    layer.build((None, 784))
    copy = kh.HebbianCompetitive.from_config(layer.get_config())
    copy.build((None, 64))
    assert float(copy.learning_rate) == 0.5 / 8
    layer.learning_rate = 0.25
    copy = kh.HebbianCompetitive.from_config(layer.get_config())
    copy.build((None, 64))
    assert float(copy.learning_rate) == 0.25


@pytest.mark.parametrize("p", [2, 3])
def test_units_start_at_the_same_norm_without_negative_weights(digits, p):
    layer = kh.HebbianCompetitive(12, p=p)
    layer.build((None, 64))
    start = kernel_of(layer)
    assert start.min() >= 0
    norms = np.linalg.norm(start, p, axis=0)
    np.testing.assert_allclose(norms, layer.START_NORM, rtol=1e-5)
    layer(digits[:20], training=True)
    assert np.abs(kernel_of(layer) - start).max() > 0


@pytest.mark.parametrize(
    ("mean", "samples"), [(0, 20), (-0.2, 20), (-0.2, 3), (0, 2), (0, 1)]
)
def test_inputs_of_both_signs_start_units_from_the_first_batch(
    float64, digits, mean, samples
):
    """Random sums of samples, whose mean counts only as far as it is certain,
    and then never against the unit; of a few samples, with weights added."""
    images = digits[:40].astype("float64") - digits.mean(axis=0) + mean
    first, then = np.split(images, [samples])
    layer = kh.HebbianCompetitive(12)
    layer.build((None, 64))
    start = kernel_of(layer)
    layer(first, training=True)
    draw = start - start.mean(axis=1, keepdims=True)
    center = first.mean(axis=0)
    few, certain = 1.0, 1.0
    if samples > 1:
        few = 1 / (samples - 1) ** 2
        # As James and Stein estimate a mean: its square less the variance.
        variance = np.var(first, axis=0, ddof=1).sum() / samples
        certain = max(few, 1 - variance / np.sum(center**2))
    if samples == 20:
        assert (certain > 0.5) == (mean < 0)
    expected = np.zeros((64, 12))
    for sample in first:
        expected += np.outer(sample, sample @ draw)
        expected += few * np.sum(sample**2) / 8 * draw
    along = center @ draw
    least = few * np.sqrt(np.mean(along**2))
    target = np.maximum(np.abs(along), least)
    expected += samples * certain * np.outer(center, target - along)
    expected *= layer.START_NORM / np.linalg.norm(expected, axis=0)
    np.testing.assert_allclose(kernel_of(layer), expected, atol=1e-9)
    # From then on it is the rule.
    layer(then, training=True)
    loop = oracles.competing_units(
        expected.T, [(0.5 / 8, then)], 2, 2, delta=0.0
    )
    np.testing.assert_allclose(kernel_of(layer).T, loop, atol=1e-9)


@pytest.mark.parametrize("sign", ["both", "positive"])
def test_weights_that_were_assigned_are_not_started_again(digits, sign):
    kernel = np.random.default_rng(0).normal(size=(64, 12)).astype("float32")
    if sign == "positive":  # as after learning from images
        kernel = np.abs(kernel) / np.linalg.norm(kernel, axis=0)
    layer = kh.HebbianCompetitive(12, learning_rate=0.001)
    layer.build((None, 64))
    layer.kernel.assign(kernel)
    layer(digits[:20] - 0.5, training=True)
    np.testing.assert_allclose(kernel_of(layer), kernel, atol=0.0011)


@pytest.mark.parametrize("p", [2, 3])
def test_no_unit_falls_below_the_smallest_norm(digits, p):
    def smallest(min_norm):
        layer = kh.HebbianCompetitive(
            12,
            p=p,
            learning_rate=0.5,
            min_norm=min_norm,
            kernel_initializer=keras.initializers.RandomUniform(0, 0.3, seed=1),
        )
        norms = []
        for start in range(0, 200, 20):
            layer(digits[start : start + 20], training=True)
            norms.append(np.linalg.norm(kernel_of(layer), p, axis=0).min())
        return min(norms)

    assert smallest(0.0) < 0.9
    assert smallest(0.8) >= 0.8 - 1e-5


IMAGES = {
    "as they are": lambda images: images,
    "inverted": lambda images: 1 - images,
    "on grey": lambda images: 0.3 + 0.6 * images,
    "centred": lambda images: images - images.mean(axis=0),
    "slightly negative": lambda images: images - 1e-7,
    "standardized": lambda images: (images - images.mean()) / images.std(),
}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("batch_size", [20, 100])
def test_defaults_leave_no_unit_dead(digits, kind, batch_size):
    layer, wins = learned_by_default(IMAGES[kind](digits), batch_size, 20)
    assert wins >= 98
    norms = np.linalg.norm(kernel_of(layer), axis=0)
    np.testing.assert_allclose(norms, 1, atol=0.1)


@pytest.mark.parametrize("kind", ["as they are", "centred", "standardized"])
def test_defaults_leave_few_units_dead_online(digits, kind):
    """The start from the first batch has one sample."""
    _, wins = learned_by_default(IMAGES[kind](digits), 1, 2)
    assert wins >= 94


def learned_by_default(images, batch_size, epochs):
    """100 units, and how many of them win for an image."""
    layer = kh.HebbianCompetitive(100)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    winners = ops.convert_to_numpy(layer.competition(images)).argmax(axis=-1)
    return layer, len(np.unique(winners))


@pytest.mark.parametrize(
    ("scale", "p"), [(1e-11, 2), (1e-5, 6), (70, 6), (5000, 4), (3e9, 2)]
)
def test_signed_data_of_any_scale_start_units_of_one_norm(scale, p):
    inputs = np.random.default_rng(0).normal(size=(256, 32)) * scale
    layer = kh.HebbianCompetitive(4, p=p)
    layer(inputs.astype("float32"), training=True)
    kernel = ops.convert_to_numpy(layer.kernel).astype("float64")
    norms = (np.abs(kernel) ** p).sum(axis=0) ** (1 / p)
    np.testing.assert_allclose(norms, layer.START_NORM, rtol=1e-4)


def test_units_that_all_tie_are_refused():
    with pytest.raises(ValueError, match="Expected `kernel_initializer`"):
        kh.HebbianCompetitive(4, p=1)
    kh.HebbianCompetitive(4, p=1, kernel_initializer="glorot_normal")
