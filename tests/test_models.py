import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
from keras_hebbian.layers.local_learning import local_layers

ON_TORCH = keras.backend.backend() == "torch"


def kernel_of(layer):
    return ops.convert_to_numpy(layer.kernel).copy()


def sequential(inputs=64):
    layer = kh.HebbianCompetitive(10, name="units")
    return kh.HebbianSequential([keras.Input((inputs,)), layer])


def functional():
    inputs = keras.Input((64,))
    layer = kh.HebbianCompetitive(10, name="units")
    return kh.HebbianModel(inputs, layer(inputs))


class Subclassed(kh.HebbianModel):
    def __init__(self):
        super().__init__()
        self.units = kh.HebbianCompetitive(10, name="units")

    def call(self, inputs):
        return self.units(inputs)


MODELS = [sequential, functional, Subclassed]


class Batches(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return len(self.images) // 20

    def __getitem__(self, index):
        return (self.images[20 * index : 20 * (index + 1)],)


def as_arrays(images):
    return {"x": images, "batch_size": 20}


def as_py_dataset(images):
    return {"x": Batches(images)}


def as_generator(images):
    batches = (images[i : i + 20] for i in range(0, len(images), 20))
    return {"x": ((batch,) for batch in batches), "steps_per_epoch": 5}


def as_tf_data(images):
    tf = pytest.importorskip("tensorflow")
    return {"x": tf.data.Dataset.from_tensor_slices(images).batch(20)}


def as_a_list(images):
    return {"x": [images], "batch_size": 20}


SOURCES = [as_arrays, as_py_dataset, as_generator, as_tf_data, as_a_list]


@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_data_gives_the_same_fit(digits, source, eagerly):
    plain = kh.HebbianCompetitive(10)
    model = sequential()
    (layer,) = model.layers
    plain.build((None, 64))
    plain.kernel.assign(layer.kernel)
    for start in range(0, 100, 20):
        plain(digits[start : start + 20], training=True)

    model.compile(run_eagerly=eagerly)
    # Keras itself warns of `shuffle=True`, its default, with some of these.
    history = model.fit(
        **source(digits[:100]), shuffle=False, verbose=0
    ).history
    assert set(history) == {"converged"}
    np.testing.assert_allclose(
        kernel_of(layer), kernel_of(plain), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("make", MODELS)
def test_no_label_and_no_loss(digits, make, capsys):
    model = make()
    model.compile()
    history = model.fit(digits[:60], epochs=2, verbose=2).history
    assert set(history) == {"converged"}
    assert len(history["converged"]) == 2
    printed = capsys.readouterr().out
    assert "converged" in printed
    assert "loss" not in printed


@pytest.mark.parametrize("make", MODELS)
def test_evaluate_predict_and_train_on_batch(digits, make):
    model = make()
    model.compile()
    shares = model.evaluate(digits[:50], verbose=0, return_dict=True)
    assert set(shares) == {"converged"}
    assert 0 <= model.evaluate(digits[:50], verbose=0) <= 1
    assert model.predict(digits[:50], verbose=0).shape == (50, 10)
    before = model.get_weights()[0]
    logs = model.train_on_batch(digits[:50], return_dict=True)
    assert logs == {"iterations": 1}
    assert np.abs(model.get_weights()[0] - before).max() > 0.01
    before = model.get_weights()[0]
    assert set(model.test_on_batch(digits[:50], return_dict=True)) == {
        "converged"
    }
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_functional_use_leaves_subclassing_alone(digits):
    functional()

    class Late(kh.HebbianModel):
        def __init__(self):
            super().__init__()
            self.units = kh.HebbianCompetitive(10)

        def call(self, inputs):
            return self.units(inputs)

    for model in (Late(), functional()):
        assert isinstance(model, kh.HebbianModel)
        assert model(digits[:3]).shape == (3, 10)


def test_a_functional_model_is_saved_and_learns_on(digits, tmp_path):
    model = functional()
    model.compile()
    model.fit(digits[:50], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(digits[:5], verbose=0),
        model.predict(digits[:5], verbose=0),
    )
    assert set(loaded.fit(digits[:50], verbose=0).history) == {"converged"}


def hybrid(kind):
    return kind(
        [
            keras.Input((64,)),
            kh.HebbianCompetitive(10, name="units"),
            keras.layers.Dense(10, name="readout"),
        ]
    )


@pytest.mark.parametrize("kind", [kh.HebbianSequential, keras.Sequential])
def test_with_a_loss_the_other_layers_train_too(digits, digit_labels, kind):
    model = hybrid(kind)
    model.compile(
        "sgd",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=1 if ON_TORCH else 2,
    )
    before = [layer.get_weights()[0] for layer in model.layers]
    history = model.fit(
        digits[:80], digit_labels[:80], batch_size=20, epochs=2, verbose=0
    ).history
    for old, layer in zip(before, model.layers, strict=True):
        assert np.abs(layer.get_weights()[0] - old).max() > 0
    assert int(model.layers[0].iterations) == 8
    expected = {"loss", "accuracy"}
    if kind is kh.HebbianSequential:
        expected.add("converged")
    assert set(history) == expected
    assert set(
        model.evaluate(
            digits[:80], digit_labels[:80], verbose=0, return_dict=True
        )
    ) == {"loss", "accuracy"}


def test_the_reported_loss_is_that_of_a_stock_model(digits, digit_labels):
    """What the layer adds for Keras's sake changes no loss."""
    model = hybrid(keras.Sequential)
    model.layers[0].trainable = False
    stock = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(10, use_bias=False),
            keras.layers.Dense(10),
        ]
    )
    stock.set_weights(
        [model.layers[0].get_weights()[0], *model.layers[1].get_weights()]
    )
    losses = []
    for each in (model, stock):
        each.compile("sgd", loss="mse")
        losses.append(
            each.evaluate(
                digits[:50],
                keras.utils.to_categorical(digit_labels[:50], 10),
                verbose=0,
            )
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


# TensorFlow and torch warn that nothing is trained by backpropagation.
@pytest.mark.filterwarnings("ignore:The model does not have any trainable")
def test_a_standard_sequential_fits_without_a_loss(digits):
    model = keras.Sequential([keras.Input((64,)), kh.HebbianCompetitive(10)])
    model.compile()
    before = kernel_of(model.layers[0])
    model.fit(digits[:50], verbose=0)
    assert np.abs(kernel_of(model.layers[0]) - before).max() > 0.01
    assert model.evaluate(digits[:50], verbose=0) == 0.0


@pytest.mark.skipif(ON_TORCH, reason="Keras runs single steps on torch")
@pytest.mark.parametrize("make_model", MODELS)
@pytest.mark.parametrize("samples", [60, 100, 130])  # 1, 1 2/3, 2 1/6 of 3 x 20
def test_steps_per_execution_changes_nothing(make_model, samples, digits):
    kernels, reports = [], []
    for steps in (1, 3):
        keras.utils.set_random_seed(1)
        model = make_model()
        model.compile(steps_per_execution=steps)
        history = model.fit(
            digits[:samples], batch_size=20, epochs=2, shuffle=False, verbose=0
        )
        (units,) = local_layers(model)
        kernels.append(kernel_of(units))
        reports.append(history.history)
        assert int(units.iterations) == 2 * -(-samples // 20)
    np.testing.assert_allclose(*kernels, rtol=1e-6)
    assert reports[0] == reports[1]


@pytest.mark.skipif(ON_TORCH, reason="Keras runs single steps on torch")
def test_executions_of_a_dataset_that_ends_early(digits):
    model = sequential()
    model.compile(steps_per_execution=4)
    batches = ((digits[i : i + 20],) for i in range(0, 120, 20))
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(batches, shuffle=False, verbose=0)
    assert int(model.layers[0].iterations) == 6


def test_several_layers_are_told_apart(digits):
    model = kh.HebbianSequential(
        [
            keras.Input((64,)),
            kh.HebbianCompetitive(10, name="first"),
            kh.HebbianCompetitive(5, name="second"),
        ]
    )
    model.compile()
    history = model.fit(
        digits[:50], callbacks=[kh.LinearRateDecay()], verbose=0
    ).history
    assert set(history) == {
        "first_converged",
        "second_converged",
        "first_learning_rate",
        "second_learning_rate",
    }


def test_nested_layers_report(digits):
    model = kh.HebbianSequential([keras.Input((64,)), sequential()])
    model.compile()
    assert set(model.fit(digits[:50], verbose=0).history) == {"converged"}


def test_metrics_without_a_loss(digits, digit_labels):
    units = sequential()
    classifier = kh.WinnerClassifier(10)
    with pytest.warns(UserWarning, match="won no sample"):
        classifier.adapt(units.predict(digits, verbose=0), digit_labels)
    model = kh.HebbianSequential([*units.layers, classifier])
    model.compile(metrics=["accuracy"])
    history = model.fit(
        digits, digit_labels, validation_split=0.2, verbose=0
    ).history
    assert set(history) == {"converged", "accuracy", "val_accuracy"}
    assert set(
        model.evaluate(digits, digit_labels, verbose=0, return_dict=True)
    ) == {"accuracy"}


def test_batches_that_teach_nothing_are_told_of(digits):
    model = kh.HebbianSequential(
        [
            keras.Input((64,)),
            kh.HebbianCompetitive(10),  # whose outputs are negative, too
            kh.LateralInhibitionSparse(5, sparsity=0.2, name="upper"),
        ]
    )
    model.compile()
    told = r"upper learned nothing from 5 .* not all non-negative, finite"
    with pytest.warns(UserWarning, match=told):
        model.fit(digits[:50], batch_size=10, verbose=0)
    assert int(model.layers[1].skipped) == 5


def test_early_stopping_sees_the_report(digits):
    model = sequential()
    model.compile()
    stop = keras.callbacks.EarlyStopping(
        monitor="converged", mode="max", patience=0
    )
    model.layers[0].trainable = False  # so nothing gets better
    model.compile()
    history = model.fit(digits[:40], epochs=5, callbacks=[stop], verbose=0)
    assert len(history.history["converged"]) == 2


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Dense(3)],
        [
            keras.layers.Dense(3, kernel_regularizer="l2"),
            kh.HebbianCompetitive(4),
        ],
        [
            keras.layers.ActivityRegularization(0.1),
            kh.HebbianCompetitive(4),
        ],
    ],
    ids=["nothing local", "a regularizer", "an added loss"],
)
def test_a_loss_is_not_dropped_silently(layers):
    model = kh.HebbianSequential([keras.Input((6,)), *layers])
    model.compile()
    with pytest.raises(ValueError, match="Expected `compile"):
        model.fit(np.ones((4, 6)), verbose=0)
