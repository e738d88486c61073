import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh


class Oja(kh.LocalLearningLayer):
    """Oja's subspace rule: W += rate (x - y W')' y."""

    learning_rate = kh.Rate()
    state_names = ("kernel",)

    def __init__(self, units=1, learning_rate=0.01, **kwargs):
        super().__init__(units, **kwargs)
        self.learning_rate = learning_rate

    def build_state(self, input_dim):
        shape = (input_dim, self.units)
        self.kernel = self.add_state("kernel", shape, "glorot_normal")

    def respond(self, inputs, state):
        return inputs @ state["kernel"]

    def learn(self, inputs, response, state, rates):
        kernel = state["kernel"]
        error = inputs - response @ ops.transpose(kernel)
        step = ops.transpose(error) @ response
        return {"kernel": kernel + rates["learning_rate"] * step}


def learned(images, units):
    model = kh.HebbianSequential([keras.Input((64,)), Oja(units)])
    model.compile()
    history = model.fit(
        images,
        epochs=60,
        batch_size=32,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    ).history
    assert history["iterations"][-1] == 60 * np.ceil(len(images) / 32)
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


LAYERS = {
    "p2": lambda: kh.HebbianCompetitive(7, p=2),
    "p3": lambda: kh.HebbianCompetitive(7, p=3, k=4),
    "sparse": lambda: kh.LateralInhibitionSparse(7),
    "sequential": lambda: kh.LateralInhibitionSparse(7, update="sequential"),
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
    told.learn_from(images)
    assert int(told.iterations) == 1
    for mine, its in zip(told.get_weights(), called.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-6)

    before = told.get_weights()
    told.trainable = False
    told.learn_from(images)
    for mine, its in zip(told.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_learning_from_another_number_of_inputs_is_refused():
    layer = kh.HebbianCompetitive(7)
    layer.build((None, 5))
    with pytest.raises(ValueError, match=r"dimension 5\. Received: .*6"):
        layer.learn_from(np.ones((3, 6), dtype="float32"))


class Counted(kh.HebbianCompetitive):
    """Counts how often its outputs were computed."""

    computed = 0

    def respond(self, inputs, state):
        type(self).computed += 1
        return super().respond(inputs, state)


@pytest.mark.parametrize(("p", "computed"), [(2, 3), (3, 0)])
def test_outputs_that_nobody_needs_are_not_computed(p, computed, monkeypatch):
    monkeypatch.setattr(Counted, "computed", 0)
    model = kh.HebbianSequential([keras.Input((5,)), Counted(7, p=p)])
    model.compile(run_eagerly=True)
    images = np.random.default_rng(0).random((30, 5), dtype="float32")
    before = Counted.computed
    model.fit(images, batch_size=10, verbose=0)
    assert Counted.computed - before == computed
