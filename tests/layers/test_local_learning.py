import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
from oja import Oja

EPOCHS = 40


def learned(images, units):
    model = kh.HebbianSequential([keras.Input((64,)), Oja(units)])
    model.compile()
    history = model.fit(
        images,
        epochs=EPOCHS,
        batch_size=32,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    ).history
    assert history["iterations"][-1] == EPOCHS * np.ceil(len(images) / 32)
    return model.get_weights()[0]


def test_a_rule_of_ones_own_finds_the_principal_component(digits):
    images = digits - digits.mean(axis=0)
    _, _, components = np.linalg.svd(images, full_matrices=False)
    (unit,) = learned(images, 1).T
    np.testing.assert_allclose(np.linalg.norm(unit), 1, atol=0.01)
    assert abs(unit @ components[0]) > 0.995


def test_several_units_span_the_principal_subspace(digits):
    images = digits - digits.mean(axis=0)
    _, _, components = np.linalg.svd(images, full_matrices=False)
    basis, _ = np.linalg.qr(learned(images, 2))
    # The cosines of the angles between the two planes.
    cosines = np.linalg.svd(components[:2] @ basis, compute_uv=False)
    assert cosines.min() > 0.98


class Wins(Oja):
    """Counts the samples that each unit won."""

    state_names = ("kernel", "wins")

    def build_state(self, input_dim):
        super().build_state(input_dim)
        self.wins = self.add_state("wins", (self.units,), "zeros", "int32")

    def learn(self, inputs, response, state, rates):
        learned = super().learn(inputs, response, state, rates)
        winners = ops.argmax(response, axis=-1)
        won = ops.sum(ops.one_hot(winners, self.units, dtype="int32"), axis=0)
        return {**learned, "wins": state["wins"] + won}


def test_a_state_may_consist_of_integers(digits):
    model = kh.HebbianSequential([keras.Input((64,)), Wins(3)])
    model.compile()
    model.fit(digits[:50], epochs=2, batch_size=20, verbose=0)
    wins = model.layers[0].wins
    assert wins.dtype == "int32"
    assert ops.convert_to_numpy(wins).sum() == 100


class NotCreated(Oja):
    state_names = ("kernel", "mean")


class NotLearned(Wins):
    def learn(self, inputs, response, state, rates):
        return Oja.learn(self, inputs, response, state, rates)


class Nothing(Oja):
    def learn(self, inputs, response, state, rates):
        return None


class Narrow(Oja):
    def learn(self, inputs, response, state, rates):
        return {"kernel": ops.mean(state["kernel"], axis=1, keepdims=True)}


class Open(Oja):
    learning_rate = kh.Rate(optional=True)

    def __init__(self, units):
        super().__init__(units, learning_rate=None)


class Vector(Oja):
    def report(self):
        return {"means": ops.mean(self.kernel, axis=0)}


@pytest.mark.parametrize(
    ("rule", "received"),
    [
        (NotCreated, "mean"),
        (NotLearned, "kernel"),
        (Nothing, "None"),
        (Narrow, r"kernel of shape \(64, 1\)"),
        (Open, "learning_rate"),
        (Vector, r"means of shape \(3,\)"),
    ],
)
def test_mistakes_in_a_rule_are_named(digits, rule, received):
    model = kh.HebbianSequential([rule(3)])
    model.compile()
    with pytest.raises(ValueError, match=f"Expected .*Received: .*{received}"):
        model.fit(digits[:20], verbose=0)


def test_rates_are_told_apart_by_the_names_they_are_given():
    class Two(kh.LocalLearningLayer):
        pull = kh.Rate()
        push = kh.Rate()

        def __init__(self):
            super().__init__(units=1)
            self.pull, self.push = 0.5, 0.25

    assert Two().rates == {"pull": 0.5, "push": 0.25}
    assert isinstance(Two.pull, kh.Rate)
    with pytest.raises(AttributeError, match="`push` has not been given"):
        Two.push.__get__(kh.LocalLearningLayer(1))


def test_local_layers_share_rates_counters_and_arguments():
    layer = Oja(units=3, learning_rate=0.5, activation="relu", name="oja")
    assert (
        layer.get_config().items()
        >= {
            "units": 3,
            "learning_rate": 0.5,
            "activation": "relu",
            "name": "oja",
        }.items()
    )
    layer.build((None, 4))
    assert [weight.name for weight in layer.weights] == [
        "kernel",
        "iterations",
        "skipped",
        "learning_rate",
    ]
    assert layer.iterations.dtype == layer.skipped.dtype == "int32"
    assert layer.compute_output_shape((2, 5, 4)) == (2, 5, 3)


@pytest.mark.parametrize(
    ("policy", "dtype"),
    [("mixed_bfloat16", "bfloat16"), ("float32", "float32")],
)
def test_outputs_have_the_compute_dtype(policy, dtype):
    layer = kh.HebbianCompetitive(3, activation="relu", dtype=policy)
    for training in (True, False):
        outputs = layer(np.ones((2, 4), "float32"), training=training)
        assert keras.backend.standardize_dtype(outputs.dtype) == dtype


def test_decays_of_several_rates_add_up():
    layer = kh.LateralInhibitionSparse(4)
    layer.build((None, 6))
    layer.decay_rates({"learning_rate": 0.5})
    layer.decay_rates({"threshold_rate": 0.25})
    for name, factor in (("learning_rate", 0.5), ("threshold_rate", 0.25)):
        full = float(getattr(layer, name))
        assert float(layer.rates[name]) == pytest.approx(factor * full)


def test_the_configuration_has_the_number_that_was_given():
    layer = kh.HebbianCompetitive(4, learning_rate=0.02)
    layer.build((None, 6))
    assert layer.get_config()["learning_rate"] == 0.02


def test_a_file_with_other_weights_is_refused(tmp_path):
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 100)
    for rate, name in ((schedule, "scheduled"), (0.1, "given")):
        layer = kh.HebbianCompetitive(4, learning_rate=rate, name="units")
        model = kh.HebbianSequential([keras.Input((6,)), layer])
        if name == "scheduled":
            model.save_weights(tmp_path / "model.weights.h5")
    before = layer.get_weights()
    with pytest.raises(
        ValueError, match=r"Expected 4 weights for units.*Received: .* 3"
    ):
        model.load_weights(tmp_path / "model.weights.h5")
    for mine, its in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


LAYERS = {
    "p2": lambda: kh.HebbianCompetitive(7, p=2),
    "p3": lambda: kh.HebbianCompetitive(7, p=3, k=4),
    "sparse": lambda: kh.LateralInhibitionSparse(7),
    "sequential": lambda: kh.LateralInhibitionSparse(7, update="sequential"),
    "topographic": lambda: kh.LateralInhibitionSparse(7, topography=7),
    "oja": lambda: Oja(7),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("shape", [(12, 5), (3, 4, 5)])
def test_learns_the_same_without_outputs(kind, shape):
    images = np.random.default_rng(0).random(shape, dtype="float32")
    called, told = LAYERS[kind](), LAYERS[kind]()
    for layer in (called, told):
        layer.build((None, *shape[1:]))
    told.set_weights(called.get_weights())
    called(images, training=True)
    told.update_state(images)
    assert int(told.iterations) == 1
    for mine, its in zip(told.get_weights(), called.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-6)

    before = told.get_weights()
    told.trainable = False
    told.update_state(images)
    for mine, its in zip(told.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("method", ["update_state", "competition"])
def test_inputs_that_do_not_fit_are_refused(method):
    layer = kh.HebbianCompetitive(7)
    with pytest.raises(ValueError, match=r"Expected .* to be built.*Received"):
        getattr(layer, method)(np.ones((3, 6), "float32"))
    layer.build((None, 5))
    for inputs in (np.ones((3, 6), "float32"), [[1.0] * 6]):
        with pytest.raises(ValueError, match=r"dimension 5\. Received: .*6"):
            getattr(layer, method)(inputs)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_rule_of_ones_own_works_under_a_mixed_policy(digits, policy):
    plain, mixed = Oja(2), Oja(2, dtype=policy)
    for layer in (plain, mixed):
        layer.build((None, 64))
    mixed.kernel.assign(plain.kernel)
    for start in range(0, 200, 20):
        batch = digits[start : start + 20]
        plain(batch, training=True)
        outputs = mixed(batch, training=True)
    narrow = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(outputs.dtype) == narrow
    assert mixed.kernel.dtype == "float32"
    np.testing.assert_allclose(
        *(ops.convert_to_numpy(each.kernel) for each in (mixed, plain)),
        atol=0.02,
    )


@pytest.mark.parametrize(
    "shape", [(9, 8, 8), (9, 8, 1), (9, 8, 8, 1), (9, 8, 8, 3)]
)
def test_images_that_were_not_flattened_bring_a_warning(shape):
    layer = kh.HebbianCompetitive(4)
    with pytest.warns(UserWarning, match="Flatten"):
        layer.build((None, *shape[1:]))


@pytest.mark.parametrize("shape", [(9, 64), (9, 5, 8), (9, 6, 6, 8), (9, 3)])
def test_samples_of_several_axes_bring_no_warning(shape):
    kh.HebbianCompetitive(2).build((None, *shape[1:]))


def test_outputs_may_be_computed_elsewhere(digits):
    layer, other = Oja(3), Oja(3)
    for each in (layer, other):
        each.build((None, 64))
    other.kernel.assign(layer.kernel)
    inputs = ops.convert_to_tensor(digits[:20])
    response = inputs @ layer.kernel.value
    layer.update_state(inputs, response)
    other.update_state(inputs)
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(each.kernel) for each in (layer, other))
    )


@pytest.mark.parametrize("shape", [(5, 7, 64), (5, 3, 2, 64), (5, 1, 64)])
def test_a_rule_gets_samples_as_rows(shape, digits):
    class Watched(Oja):
        def respond(self, inputs, state):
            seen.append(tuple(inputs.shape))
            return super().respond(inputs, state)

    seen = []
    layer = Watched(2)
    inputs = ops.convert_to_tensor(np.resize(digits, shape))
    outputs = (
        layer(inputs),
        layer(inputs, training=True),
        layer.competition(inputs),
    )
    assert [tuple(each.shape) for each in outputs] == [(*shape[:-1], 2)] * 3
    layer.update_state(inputs)
    assert seen == [(np.prod(shape[:-1]), 64)] * 4


LEARNING = [
    lambda: kh.HebbianCompetitive(4),
    lambda: kh.SoftHebb(4),
    lambda: kh.LateralInhibitionSparse(4),
    lambda: kh.HebbianPCA(4),
    lambda: kh.SelfOrganizingMap((2, 2)),
]


@pytest.mark.parametrize("make", LEARNING)
def test_an_empty_batch_is_skipped(digits, make):
    layer = make()
    layer.build((None, 64))
    before = layer.get_weights()[0]
    layer(digits[:0], training=True)
    np.testing.assert_array_equal(layer.get_weights()[0], before)
    assert (int(layer.iterations), int(layer.skipped)) == (0, 1)


def test_an_empty_batch_does_not_take_the_place_of_the_first(digits):
    kernels = []
    for batches in ([digits[:0], digits[:20]], [digits[:20]]):
        keras.utils.set_random_seed(0)
        layer = kh.HebbianCompetitive(4)
        for batch in batches:
            layer(batch - 0.3, training=True)
        kernels.append(ops.convert_to_numpy(layer.kernel))
    np.testing.assert_array_equal(*kernels)


@pytest.mark.parametrize("make", LEARNING)
def test_integers_are_learned_as_in_a_call(make):
    images = np.random.default_rng(0).integers(0, 1000, (20, 6))
    weights = []
    for method in ("__call__", "update_state"):
        keras.utils.set_random_seed(0)
        layer = make()
        layer.dtype_policy = "mixed_bfloat16"
        layer.build((None, 6))
        arguments = {"training": True} if method == "__call__" else {}
        getattr(layer, method)(images, **arguments)
        weights.append(layer.get_weights()[0])
    np.testing.assert_allclose(*weights, rtol=1e-6)
