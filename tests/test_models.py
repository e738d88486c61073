import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
from keras_hebbian.layers.local_layers import local_layers

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


SOURCES = [as_arrays, as_py_dataset, as_generator, as_tf_data]


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
    # Keras itself warns about `shuffle=True`, its default, with some of these.
    history = model.fit(
        **source(digits[:100]), shuffle=False, verbose=0
    ).history
    assert set(history) == {"norm_distance"}
    np.testing.assert_allclose(
        kernel_of(layer), kernel_of(plain), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("make", MODELS)
def test_no_label_and_no_loss(digits, make, capsys):
    model = make()
    model.compile()
    history = model.fit(digits[:60], epochs=2, verbose=2).history
    assert set(history) == {"norm_distance"}
    assert len(history["norm_distance"]) == 2
    printed = capsys.readouterr().out
    assert "norm_distance" in printed
    assert "loss" not in printed


@pytest.mark.parametrize("make", MODELS)
def test_evaluate_predict_and_train_on_batch(digits, make):
    model = make()
    model.compile()
    shares = model.evaluate(digits[:50], verbose=0, return_dict=True)
    assert set(shares) == {"norm_distance"}
    share = model.evaluate(digits[:50], verbose=0)
    assert share == shares["norm_distance"]
    assert model.predict(digits[:50], verbose=0).shape == (50, 10)
    before = model.get_weights()[0]
    logs = model.train_on_batch(digits[:50], return_dict=True)
    assert logs == {"iterations": 1}
    assert np.abs(model.get_weights()[0] - before).max() > 0.01
    before = model.get_weights()[0]
    assert set(model.test_on_batch(digits[:50], return_dict=True)) == {
        "norm_distance"
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
    assert set(loaded.fit(digits[:50], verbose=0).history) == {"norm_distance"}


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
        expected.add("norm_distance")
    assert set(history) == expected
    assert set(
        model.evaluate(
            digits[:80], digit_labels[:80], verbose=0, return_dict=True
        )
    ) == {"loss", "accuracy"}


def test_the_reported_loss_is_that_of_a_stock_model(digits, digit_labels):
    """A local layer adds nothing to it."""
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
    with warnings.catch_warnings():
        # Keras says that the data ran out, before 3.16.
        warnings.simplefilter("ignore", UserWarning)
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
        digits[:50], epochs=2, callbacks=[kh.LinearRateDecay()], verbose=0
    ).history
    assert set(history) == {
        "first_norm_distance",
        "second_norm_distance",
        "first_local_learning_rate",
        "second_local_learning_rate",
    }


def test_nested_layers_report(digits):
    model = kh.HebbianSequential([keras.Input((64,)), sequential()])
    model.compile()
    assert set(model.fit(digits[:50], verbose=0).history) == {"norm_distance"}


class Labelled(Batches):
    def __init__(self, images, labels):
        super().__init__(images)
        self.labels = labels

    def __getitem__(self, index):
        part = slice(20 * index, 20 * (index + 1))
        return self.images[part], self.labels[part]


def test_metrics_without_a_loss(digits, digit_labels):
    units = sequential()
    classifier = kh.WinnerClassifier(10)
    with pytest.warns(UserWarning, match="won no sample"):
        classifier.adapt(units.predict(digits, verbose=0), digit_labels)
    model = kh.HebbianSequential([*units.layers, classifier])
    model.compile(metrics=["accuracy"])
    with pytest.raises(ValueError, match="Expected labels `y`"):
        model.fit(digits, verbose=0)
    history = model.fit(
        digits, digit_labels, validation_split=0.2, verbose=0
    ).history
    assert set(history) == {"norm_distance", "accuracy", "val_accuracy"}
    model.fit(Labelled(digits[:60], digit_labels[:60]), verbose=0)
    assert set(
        model.evaluate(digits, digit_labels, verbose=0, return_dict=True)
    ) == {"accuracy"}


def test_a_layer_that_skips_batches_is_named(digits):
    model = kh.HebbianSequential(
        [
            keras.Input((64,)),
            kh.HebbianCompetitive(10, kernel_initializer="random_normal"),
            kh.LateralInhibitionSparse(5, sparsity=0.2, name="upper"),
        ]
    )
    model.compile()
    said = r"upper skipped 5 batches: it needs finite, non-negative inputs"
    with pytest.warns(UserWarning, match=said):
        model.fit(digits[:50], batch_size=10, verbose=0)
    assert int(model.layers[1].skipped) == 5


@pytest.mark.filterwarnings("ignore:Nothing learns")
def test_early_stopping_sees_the_report(digits):
    model = sequential()
    model.compile()
    stop = keras.callbacks.EarlyStopping(
        monitor="norm_distance", mode="min", patience=0
    )
    model.layers[0].trainable = False  # so nothing gets better
    model.compile()
    history = model.fit(digits[:40], epochs=5, callbacks=[stop], verbose=0)
    assert len(history.history["norm_distance"]) == 2


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
        [kh.HebbianCompetitive(4, activity_regularizer="l2")],
    ],
    ids=["nothing local", "a regularizer", "an added loss", "of its activity"],
)
@pytest.mark.filterwarnings("ignore:Without a loss only the local layers")
def test_a_loss_is_not_dropped_silently(layers):
    model = kh.HebbianSequential([keras.Input((6,)), *layers])
    model.compile()
    with pytest.raises(ValueError, match="Expected `compile"):
        model.fit(np.ones((4, 6)), verbose=0)


class WithLargest(kh.HebbianSequential):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {"largest": keras.ops.max(y_pred)}


def test_metrics_of_a_subclass_are_computed():
    units = kh.HebbianCompetitive(4)
    model = WithLargest([keras.Input((6,)), units])
    model.compile()
    x = np.random.default_rng(0).random((8, 6), dtype="float32")
    assert "largest" in model.fit(x, verbose=0).history
    found = model.evaluate(x, verbose=0, return_dict=True)["largest"]
    assert found == pytest.approx(model.predict(x, verbose=0).max(), rel=1e-5)


def test_weights_that_nothing_uses_are_refused_in_evaluation():
    model = kh.HebbianSequential([keras.Input((6,)), kh.HebbianCompetitive(4)])
    model.compile()
    x = np.ones((8, 6), "float32")
    with pytest.raises(ValueError, match="Expected `compile"):
        model.evaluate(x, np.ones(8), sample_weight=np.ones(8), verbose=0)
    with pytest.raises(ValueError, match="Expected `compile"):
        model.evaluate(x, sample_weight=np.ones(8), verbose=0)


@pytest.mark.filterwarnings("ignore:Without a loss only the local layers")
def test_a_file_of_a_fit_without_a_loss_loads_without_a_warning(tmp_path):
    layers = [kh.HebbianCompetitive(4), keras.layers.Dense(2)]
    model = kh.HebbianSequential([keras.Input((6,)), *layers])
    model.compile()
    model.fit(np.ones((8, 6), "float32"), verbose=0)
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.layers[0].iterations) == 1


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras takes the loss for 0 there"
)
def test_a_stock_model_without_a_loss_is_refused_by_keras():
    layers = [kh.HebbianCompetitive(4), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile()
    with pytest.raises(ValueError, match="No loss to compute"):
        model.fit(np.ones((4, 6)), verbose=0)


class Blank(kh.HebbianSequential):
    """Shows its layers nothing but zeros."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs * 0, training=training)


class BlankLayer(kh.HebbianCompetitive):
    """Learns from nothing but zeros."""

    def call(self, inputs, training=None):
        return super().call(inputs * 0, training=training)


@pytest.mark.parametrize("p", [2, 3])
@pytest.mark.parametrize(
    ("kind", "unit"),
    [(Blank, kh.HebbianCompetitive), (kh.HebbianSequential, BlankLayer)],
)
@pytest.mark.parametrize("below", [[], [keras.layers.Flatten]])
def test_a_call_of_ones_own_is_called(digits, kind, unit, below, p):
    layer = unit(10, p=p)
    model = kind([keras.Input((64,)), *(each() for each in below), layer])
    model.compile()
    before = kernel_of(layer)
    model.fit(digits[:60], batch_size=20, verbose=0)
    assert int(layer.iterations) == 3
    np.testing.assert_array_equal(kernel_of(layer), before)


class Counting(kh.HebbianCompetitive):
    """Counts how often its outputs are computed."""

    computed = 0

    def respond(self, inputs, state):
        Counting.computed += 1
        return super().respond(inputs, state)


@pytest.mark.skipif(not ON_TORCH, reason="compiled steps drop what is unread")
@pytest.mark.parametrize("reader", ["none", "metric", "hook", "call"])
def test_outputs_are_computed_if_something_reads_them(
    digits, digit_labels, reader
):
    kind = Blank if reader == "call" else kh.HebbianSequential
    layer = Counting(10, p=3)
    model = kind([keras.Input((8, 8)), keras.layers.Flatten(), layer])
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    model.compile(metrics=[accuracy] if reader == "metric" else None)
    seen = []
    if reader == "hook":
        layer.register_forward_hook(lambda *call: seen.append(call[-1]))
    Counting.computed = 0
    labels = digit_labels[:60] if reader == "metric" else None
    images = digits[:60].reshape(-1, 8, 8)
    model.fit(images, labels, batch_size=20, verbose=0)
    assert (Counting.computed == 0) == (reader == "none")
    assert int(layer.iterations) == 3
    assert np.isfinite([ops.convert_to_numpy(x) for x in seen]).all()
    outputs = model(images[:20], training=True)
    assert np.isfinite(ops.convert_to_numpy(outputs)).all()


def test_what_reaches_the_layer_decides_whether_data_are_refused(digits):
    """Not what enters the model: operations may stand before the layer."""
    inputs = keras.Input((64,))
    layer = kh.LateralInhibitionSparse(4)
    model = kh.HebbianModel(inputs, layer(ops.abs(inputs)))
    model.compile()
    model.fit(-digits[:40], verbose=0)
    assert (int(layer.iterations), int(layer.skipped)) == (2, 0)
    direct = kh.HebbianModel(inputs, kh.LateralInhibitionSparse(4)(inputs))
    direct.compile()
    with pytest.raises(ValueError, match="Expected finite, non-negative"):
        direct.fit(-digits[:40], verbose=0)


class Rectified(kh.HebbianSequential):
    def call(self, inputs, training=None, mask=None):
        return super().call(ops.abs(inputs), training=training)


class RectifiedLayer(kh.LateralInhibitionSparse):
    def call(self, inputs, training=None):
        return super().call(ops.abs(inputs), training=training)


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        (Rectified, kh.LateralInhibitionSparse),
        (kh.HebbianSequential, RectifiedLayer),
    ],
)
def test_a_call_of_ones_own_may_get_any_data(digits, kind, unit):
    model = kind([keras.Input((64,)), unit(4)])
    model.compile()
    model.fit(-digits[:40], verbose=0)
    assert int(model.layers[0].iterations) == 2


def test_a_memory_map_is_not_read_before_the_first_step(digits, tmp_path):
    file = tmp_path / "images.npy"
    np.save(file, digits[:80])
    images = np.load(file, mmap_mode="r+")
    images[50] = np.nan
    model = sequential()
    model.compile()
    with pytest.warns(UserWarning, match="skipped 1 batch:"):
        model.fit(images, batch_size=20, shuffle=False, verbose=0)
    assert int(model.layers[0].iterations) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_undefined_values_are_refused_before_the_first_step(digits, value):
    """Also behind layers that change nothing but the shape."""
    below = [keras.layers.Reshape((8, 8)), keras.layers.Flatten()]
    layer = kh.HebbianCompetitive(4)
    model = kh.HebbianSequential([keras.Input((64,)), *below, layer])
    model.compile()
    images = digits[:40].copy()
    images[30, 5] = value
    with pytest.raises(ValueError, match=f"Expected finite.*{value}"):
        model.fit(images, verbose=0)
    assert int(layer.iterations) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -4),
        ("batch_size", 4.5),
        ("batch_size", True),
        ("epochs", -1),
        ("epochs", None),
        ("epochs", 2.0),
    ],
)
def test_batches_and_epochs_are_counted_in_whole_numbers(digits, name, value):
    model = sequential()
    model.compile()
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        model.fit(digits[:40], **{name: value}, verbose=0)
    assert not int(model.layers[-1].iterations)
    model.fit(digits[:40], batch_size=np.int64(20), epochs=0, verbose=0)
    assert not int(model.layers[-1].iterations)


def test_shapes_are_checked_as_in_predict():
    model = kh.HebbianSequential([keras.Input((8,)), kh.HebbianCompetitive(4)])
    model.compile()
    with pytest.raises(ValueError, match="shape"):
        model.fit(np.ones((32, 8, 8)), verbose=0)
    one = kh.HebbianSequential([keras.Input((1,)), kh.HebbianCompetitive(4)])
    one.compile()
    one.fit(np.ones(32), verbose=0)
    assert int(one.layers[0].iterations) == 1


def test_a_subclass_made_of_inputs_and_outputs_leaves_others_alone(digits):
    class Made(kh.HebbianModel):
        def __init__(self):
            inputs = keras.Input((64,))
            super().__init__(inputs, kh.HebbianCompetitive(4)(inputs))

    class Further(Made):
        pass

    for make in (Further, Made, Subclassed, functional, Made, Subclassed):
        model = make()
        assert isinstance(model, kh.HebbianModel)
        model.compile()
        assert set(model.fit(digits[:30], verbose=0).history) == {
            "norm_distance"
        }


def test_what_has_no_effect_without_a_loss_is_said_once(digits, digit_labels):
    model = kh.HebbianSequential(
        [
            keras.Input((64,)),
            kh.HebbianCompetitive(10),
            keras.layers.Dense(3, name="readout"),
        ]
    )
    model.compile("sgd")
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
        keras.callbacks.ReduceLROnPlateau("norm_distance", mode="min"),
    ]
    with pytest.warns(UserWarning, match="Without a loss") as said:
        model.fit(
            digits[:40], digit_labels[:40], callbacks=callbacks, verbose=0
        )
    (message,) = (
        str(each.message) for each in said if each.category is UserWarning
    )
    schedules = ("LearningRateScheduler", "ReduceLROnPlateau")
    for name in ("`y`", "readout/kernel", "SGD", *schedules):
        assert name in message


@pytest.mark.parametrize(
    "given", [{"sample_weight": np.ones(40)}, {"class_weight": {0: 1.0}}]
)
def test_weights_of_samples_are_refused_without_a_loss(digits, given):
    model = sequential()
    model.compile()
    with pytest.raises(ValueError, match="Expected `compile"):
        model.fit(digits[:40], verbose=0, **given)
    tf = pytest.importorskip("tensorflow")
    ones = np.ones(40, "float32")
    weighted = tf.data.Dataset.from_tensor_slices((digits[:40], ones, ones))
    with pytest.raises(ValueError, match="Expected `compile"):
        model.fit(weighted.batch(20), shuffle=False, verbose=0)


@pytest.mark.filterwarnings("ignore:Nothing learns")
def test_a_layer_frozen_after_a_fit_stays_as_it_is(digits):
    model = sequential()
    model.compile()
    compiled = []  # JAX would use again what is still referred to
    keep = keras.callbacks.LambdaCallback(
        on_train_end=lambda logs: compiled.append(model.train_function)
    )
    (layer,) = model.layers
    model.fit(digits[:40], callbacks=[keep], verbose=0)
    layer.trainable = False
    before = kernel_of(layer)
    model.fit(digits[:40], callbacks=[keep], verbose=0)
    np.testing.assert_array_equal(kernel_of(layer), before)
    layer.trainable = True
    model.fit(digits[:40], callbacks=[keep], verbose=0)
    assert np.abs(kernel_of(layer) - before).max() > 0
    assert len(set(map(id, compiled))) == 3


@pytest.mark.filterwarnings("ignore:Nothing learns")
def test_a_layer_frozen_between_long_and_short_fits_stays_as_it_is(digits):
    model = sequential()
    model.compile()
    (layer,) = model.layers
    long = {"batch_size": 1, "epochs": 5, "verbose": 0}  # 200 batches
    model.fit(digits[:40], **long)
    layer.trainable = False
    model.fit(digits[:40], verbose=0)  # single steps
    model.fit(digits[:40], **long)
    assert int(layer.iterations) == 200


@pytest.mark.filterwarnings("ignore:Nothing learns")
def test_a_layer_frozen_before_a_new_compilation_stays_as_it_is(digits):
    model = sequential()
    model.compile()
    (layer,) = model.layers
    model.fit(digits[:40], verbose=0)
    held = model.train_function  # JAX would use again what is referred to
    before = kernel_of(layer)
    layer.trainable = False
    model.compile()
    model.fit(digits[:40], verbose=0)
    np.testing.assert_array_equal(kernel_of(layer), before)
    assert model.train_function is not held


class Weighted(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, place):
        return np.ones((4, 64)), np.ones((4, 10)), np.ones(4)


def test_weights_of_samples_are_refused_beside_metrics():
    model = sequential()
    model.compile(metrics=["mse"])
    with pytest.raises(ValueError, match="Expected `compile"):
        model.fit(Weighted(), verbose=0)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a tf.data.Dataset"
)
@pytest.mark.parametrize("axes", [2, 3])
def test_batches_of_a_width_known_only_when_they_come(digits, axes):
    tf = pytest.importorskip("tensorflow")
    images = (digits[:40] - 0.3).reshape(40, *(axes - 2) * (1,), 64)

    def fitted(batches):
        keras.utils.set_random_seed(1)
        layer = kh.HebbianCompetitive(10)
        model = kh.HebbianSequential([keras.Input(images.shape[1:]), layer])
        model.compile()
        model.fit(batches, shuffle=False, verbose=0)
        assert int(layer.iterations) == 2
        return kernel_of(layer)

    unknown = tf.data.Dataset.from_generator(
        lambda: iter([images[:20], images[20:]]),
        output_signature=tf.TensorSpec(axes * (None,)),
    ).apply(tf.data.experimental.assert_cardinality(2))
    known = tf.data.Dataset.from_tensor_slices(images).batch(20)
    np.testing.assert_allclose(fitted(unknown), fitted(known), rtol=1e-5)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("kind", MODELS)
def test_data_of_another_width_leave_what_was_learned(digits, method, kind):
    model = kind()
    model.compile()
    model.fit(digits[:40], verbose=0)
    before = model.get_weights()
    # A `ValueError`, or on TensorFlow an error of its own from a second fit.
    with pytest.raises(Exception, match="64"):
        getattr(model, method)(digits[:40, :5], verbose=0)
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)
    model.fit(digits[:40], verbose=0)
    assert int(local_layers(model)[0].iterations) == 4


def test_an_interrupted_fit_keeps_what_it_learned(digits):
    def interrupt(batch, logs):
        if batch == 1:
            raise KeyboardInterrupt

    model = sequential()
    model.compile()
    callbacks = [keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)]
    with pytest.raises(KeyboardInterrupt):
        model.fit(digits[:100], callbacks=callbacks, verbose=0)
    assert int(model.layers[0].iterations) == 2
    assert np.isfinite(kernel_of(model.layers[0])).all()


def test_a_layer_frozen_between_batches_stays_as_it_is(digits):
    model = sequential()
    model.compile()
    (layer,) = model.layers
    learned = []
    for trainable in (True, False, True):
        layer.trainable = trainable
        model.train_on_batch(digits[:20])
        learned.append(int(layer.iterations))
    assert learned == [1, 1, 2]


def test_a_frozen_layer_refuses_no_data(digits):
    """It needs no data to learn from."""
    layer = kh.LateralInhibitionSparse(4, trainable=False)
    layers = [keras.Input((64,)), layer, kh.HebbianCompetitive(3)]
    model = kh.HebbianSequential(layers)
    model.compile()
    model.fit(digits[:40] - 0.5, verbose=0)
    assert int(model.layers[1].iterations) == 2


def test_a_fit_in_which_nothing_learns_says_so(digits):
    frozen = kh.HebbianCompetitive(4, trainable=False, name="units")
    model = kh.HebbianSequential([keras.Input((64,)), frozen])
    model.compile()
    with pytest.warns(UserWarning, match="Nothing learns.*units"):
        model.fit(digits[:40], verbose=0)
    statistics = keras.layers.BatchNormalization(center=False, scale=False)
    model = kh.HebbianSequential([keras.Input((64,)), statistics, frozen])
    model.compile()
    model.fit(digits[:40], verbose=0)


@pytest.mark.filterwarnings("ignore:.* units won no sample")
def test_a_fit_that_only_asks_the_units_of_a_classifier_says_so(
    digits, digit_labels
):
    units = kh.HebbianCompetitive(4, name="units")
    classifier = kh.WinnerClassifier(10, layer=units)
    classifier.adapt(digits[:400], digit_labels[:400])
    model = kh.HebbianSequential([keras.Input((64,)), classifier])
    model.compile()
    with pytest.warns(UserWarning, match="Nothing learns.*units"):
        model.fit(digits[:40], verbose=0)
    assert int(units.iterations) == 0
    inputs = keras.Input((64,))
    model = kh.HebbianModel(inputs, [units(inputs), classifier(inputs)])
    model.compile()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(digits[:40], verbose=0)
    assert int(units.iterations) == 2


@pytest.mark.parametrize("where", ["fit", "validation", "evaluate"])
def test_metrics_without_labels_are_refused_wherever_data_come_from(
    digits, digit_labels, where
):
    if keras.backend.backend() != "tensorflow" and where == "fit":
        pytest.skip("Keras's own error, when it builds the metrics")
    model = sequential()
    model.compile(metrics=[keras.metrics.SparseCategoricalAccuracy()])
    batches = as_py_dataset(digits[:40])["x"]
    labelled = digits[:40], digit_labels[:40]
    run = {
        "fit": lambda: model.fit(batches, verbose=0),
        "validation": lambda: model.fit(
            *labelled, validation_data=batches, verbose=0
        ),
        "evaluate": lambda: model.evaluate(digits[:40], verbose=0),
    }[where]
    with pytest.raises(ValueError, match="Expected labels `y` for the metrics"):
        run()
    if where == "evaluate":
        assert 0 <= model.evaluate(*labelled, verbose=0) <= 1


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_a_model_made_not_trainable_learns_nothing(digits, kind):
    units = kh.HebbianCompetitive(4)
    inputs = keras.Input((64,))
    model = (
        kh.HebbianSequential([inputs, units], trainable=False)
        if kind == "sequential"
        else kh.HebbianModel(inputs, units(inputs), trainable=False)
    )
    model.compile()
    with pytest.warns(UserWarning, match="Nothing learns"):
        model.fit(digits[:40], verbose=0)
    model.train_on_batch(digits[:40])
    assert int(units.iterations) == 0
    model.trainable = True
    model.fit(digits[:40], verbose=0)
    assert int(units.iterations) == 2


@pytest.mark.parametrize("nested", [False, True])
def test_a_layer_that_is_used_twice_learns_twice(digits, nested):
    units = kh.HebbianCompetitive(64, p=3)
    first = keras.Sequential([units]) if nested else units
    model = kh.HebbianSequential([keras.Input((64,)), first, units])
    model.compile()
    model.fit(digits[:40], verbose=0)
    assert (int(units.iterations), int(units.skipped)) == (4, 0)


@pytest.mark.parametrize("validation", ["data", "split"])
def test_validation_without_metrics_measures_nothing_and_says_so(
    digits, validation
):
    given = {
        "data": {"validation_data": (digits[60:90],)},
        "split": {"validation_split": 0.5},
    }
    model = sequential()
    model.compile()
    with pytest.warns(
        UserWarning, match=r"validation data \(see `compile\(metrics="
    ):
        fitted = model.fit(digits[:60], verbose=0, **given[validation])
    assert set(fitted.history) == {"norm_distance"}


def test_validation_with_a_step_of_ones_own_brings_no_warning(digits):
    class Measured(kh.HebbianSequential):
        def test_step(self, *args):
            logs = {"seen": keras.ops.ones(())}
            return logs if len(args) == 1 else (logs, args[0])

    model = Measured([keras.Input((64,)), kh.HebbianCompetitive(4)])
    model.compile()
    fitted = model.fit(digits[:60], validation_split=0.5, verbose=0)
    assert fitted.history["val_seen"] == [1.0]


def test_the_bar_shows_no_step_counter_and_no_empty_number(digits, capsys):
    model = sequential()
    model.compile()
    model.fit(digits[:100], batch_size=10, epochs=3, verbose=1)
    printed = capsys.readouterr().out
    assert "norm_distance" in printed
    assert "iterations" not in printed
    assert "0.0000e+00" not in printed


def test_fit_goes_on_after_single_batches(digits):
    model = sequential()
    model.compile()
    model.train_on_batch(digits[:20])
    model.fit(digits[:40], batch_size=20, verbose=0)
    assert int(model.layers[0].iterations) == 3


def test_the_optimizer_that_keras_chose_brings_no_warning(digits):
    keras.config.set_dtype_policy("mixed_float16")  # which scales the loss
    try:
        model = sequential()
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile()
    model.fit(digits[:20], verbose=0)
    assert int(model.layers[0].iterations) == 1


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras needs an optimizer there"
)
def test_no_optimizer_is_needed(digits):
    model = sequential()
    model.compile(optimizer=None)
    model.fit(digits[:20], verbose=0)
    assert int(model.layers[0].iterations) == 1


def test_a_loaded_optimizer_goes_on_where_it_was(
    digits, digit_labels, tmp_path
):
    layers = [*sequential().layers, keras.layers.Dense(10)]
    model = kh.HebbianSequential([keras.Input((64,)), *layers])
    model.compile("adam", "mse")
    model.fit(digits[:40], np.eye(10)[digit_labels[:40]], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model.optimizer.variables
    for mine, its in zip(loaded.optimizer.variables, expected, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(mine), ops.convert_to_numpy(its)
        )


@keras.saving.register_keras_serializable("tests")
class OwnCompile(kh.HebbianSequential):
    def compile(self, shade):
        super().compile()
        self.shade = shade


def test_a_compile_of_ones_own_is_not_called_with_other_arguments(tmp_path):
    model = OwnCompile([keras.Input((6,)), kh.HebbianCompetitive(4)])
    model.compile(shade="blue")
    model.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match=r"`compile\(\)` was not called"):
        loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not hasattr(loaded, "shade")


def test_a_second_compile_forgets_loss_and_metrics(digits, digit_labels):
    layers = [kh.HebbianCompetitive(4), keras.layers.Dense(1)]
    model = kh.HebbianSequential([keras.Input((64,)), *layers])
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(digits[:40], digit_labels[:40], verbose=0)
    model.compile()
    before = layers[1].get_weights()[0]
    with pytest.warns(UserWarning, match="the trainable weights"):
        history = model.fit(digits[:40], verbose=0).history
    assert set(history) == {"norm_distance"}
    np.testing.assert_array_equal(layers[1].get_weights()[0], before)
    model.compile("sgd", "mse")
    history = model.fit(digits[:40], digit_labels[:40], verbose=0).history
    assert set(history) == {"norm_distance", "loss"}


class Measured(kh.HebbianSequential):
    """Measures its outputs by itself."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.mean = keras.metrics.Mean(name="size")

    def call(self, inputs, training=None, mask=None):
        outputs = super().call(inputs, training=training)
        self.mean.update_state(outputs)
        return outputs


def test_metrics_of_a_call_need_no_labels(digits):
    model = Measured([keras.Input((64,)), kh.HebbianCompetitive(4)])
    model.compile()
    assert "size" in model.fit(digits[:40], verbose=0).history


def test_an_error_before_the_first_step_is_not_hidden(digits):
    model = sequential()
    with pytest.raises(ValueError, match="compile"):
        model.fit(digits[:40], callbacks=[kh.LinearRateDecay()], verbose=0)


@pytest.mark.parametrize("within", ["train_on_batch", "fit"])
def test_steps_within_a_fit_leave_its_steps_alone(digits, within):
    class Batch(keras.callbacks.Callback):
        inside = False

        def on_epoch_end(self, epoch, logs=None):
            if within == "train_on_batch":
                self.model.train_on_batch(digits[:8])
            elif not self.inside:
                self.inside = True
                self.model.fit(digits[:8], verbose=0)
                self.inside = False

    model = sequential()
    model.compile()
    fitted = {"batch_size": 2, "epochs": 3, "callbacks": [Batch()]}
    model.fit(digits[:141], verbose=0, **fitted)
    assert int(model.layers[0].iterations) == 3 * (71 + 1)


@pytest.mark.filterwarnings("ignore::UserWarning")  # MixUp on JAX
@pytest.mark.parametrize(
    "below",
    [
        lambda: keras.Sequential([keras.layers.RandomRotation(0.1)]),
        lambda: keras.layers.Resizing(3, 3, interpolation="bicubic"),
        lambda: keras.layers.UpSampling2D(2, interpolation="bicubic"),
        lambda: keras.layers.MixUp(),
        lambda: keras.Sequential(
            [
                keras.layers.Flatten(),
                keras.layers.CategoryEncoding(3, output_mode="multi_hot"),
            ]
        ),
        lambda: antialiased,
        lambda: keras.layers.Lambda(in_numpy, output_shape=(4, 4, 1)),
    ],
)
def test_what_xla_cannot_compile_does_not_fail_in_long_fits(below):
    below, units = below(), kh.HebbianCompetitive(4)
    inputs = keras.Input((4, 4, 1))
    outputs = keras.layers.Flatten()(below(inputs))
    model = kh.HebbianModel(inputs, units(outputs))
    model.compile()
    images = np.random.default_rng(0).random((400, 4, 4, 1), dtype="float32")
    model.fit(images, batch_size=2, verbose=0)
    assert int(units.iterations) == 200


def antialiased(images):
    return ops.image.resize(images, (2, 2), antialias=True)


def in_numpy(images):
    """What only TensorFlow can run within a step, and XLA cannot compile."""
    if keras.backend.backend() != "tensorflow":
        return images
    import tensorflow as tf

    outputs = tf.numpy_function(lambda x: x + 1, [images], tf.float32)
    outputs.set_shape(images.shape)
    return outputs


def test_a_subclass_may_compute_its_own_loss(digits):
    class Own(kh.HebbianModel):
        def compute_loss(
            self, x=None, y=None, y_pred=None, sample_weight=None, training=True
        ):
            return ops.mean(ops.square(y_pred))

    inputs = keras.Input((64,))
    units, dense = kh.HebbianCompetitive(4), keras.layers.Dense(1)
    model = Own(inputs, dense(units(inputs)))
    model.compile("adam")
    before = dense.get_weights()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        history = model.fit(digits[:80], epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.abs(dense.get_weights()[0] - before).min() > 0
    assert int(units.iterations) == 9
    assert model.evaluate(digits[:80], verbose=0) > 0


def test_tensors_are_checked_as_arrays_are(digits):
    model = sequential()
    model.compile()
    images = digits[:40].copy()
    images[7, 3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        model.fit(ops.convert_to_tensor(images), verbose=0)
    assert int(model.layers[0].iterations) == 0


def test_layers_of_a_frozen_model_do_not_learn_in_another(digits):
    frozen = kh.HebbianCompetitive(4)
    inner = kh.HebbianSequential([frozen], trainable=False)
    learning = kh.SoftHebb(3)
    model = kh.HebbianSequential([keras.Input((64,)), inner, learning])
    model.compile()
    model.fit(digits[:40], verbose=0)
    assert (int(frozen.iterations), int(learning.iterations)) == (0, 2)


class Block(keras.layers.Layer):
    """Two local layers of the same name, and one that is never called."""

    def __init__(self):
        super().__init__()
        self.one = kh.HebbianCompetitive(6, name="units")
        self.two = kh.HebbianCompetitive(4, name="units")
        self.unused = kh.HebbianCompetitive(3)

    def build(self, input_shape):
        self.one.build(input_shape)
        self.two.build((None, 6))

    def call(self, x, training=None):
        return self.two(self.one(x, training=training), training=training)


def test_layers_in_a_layer_are_numbered_in_their_order(digits):
    block = Block()
    model = kh.HebbianSequential([block])
    model.compile()
    decay = kh.LinearRateDecay()
    history = model.fit(
        digits[:40], epochs=2, callbacks=[decay], verbose=0
    ).history
    for name, layer in (("units", block.one), ("units_1", block.two)):
        distance = float(layer.report()["norm_distance"])
        assert history[f"{name}_norm_distance"][-1] == pytest.approx(distance)
        assert f"{name}_local_learning_rate" in history
