import keras
import numpy as np
import pytest

import keras_hebbian as kh
from keras_hebbian._execution import STEPS_PER_EXECUTION
from test_models import (
    SOURCES,
    as_arrays,
    as_generator,
    as_py_dataset,
    kernel_of,
)

EPOCHS = [2, 3]


def make_model():
    """Two local layers, with layers that learn or draw between them."""
    keras.utils.set_random_seed(3)
    return kh.HebbianSequential(
        [
            keras.Input((64,)),
            kh.HebbianCompetitive(12, name="lower"),
            keras.layers.BatchNormalization(center=False, scale=False),
            keras.layers.Dropout(0.2, seed=1),
            kh.SoftHebb(8, name="upper"),
            keras.layers.BatchNormalization(center=False, scale=False),
        ]
    )


def fit(model, source, **given):
    given = {"epochs": EPOCHS, "shuffle": False, "verbose": 0, **given}
    return kh.fit_layerwise(model, **source, **given)


def by_hand(model, images):
    """As a user would train the layers without the function."""
    lower, *between, upper, _ = model.layers
    for layers, epochs in zip(
        [[lower], [*between, upper]], EPOCHS, strict=True
    ):
        stage = kh.HebbianSequential([keras.Input(images.shape[1:]), *layers])
        stage.compile()
        stage.fit(
            images,
            batch_size=20,
            epochs=epochs,
            shuffle=False,
            callbacks=[kh.LinearRateDecay()],
            verbose=0,
        )
        images = stage.predict(images, batch_size=20, verbose=0)


def endless(images):
    while True:
        for start in range(0, len(images), 20):
            yield (images[start : start + 20],)


def as_endless_generator(images):
    return {"x": endless(images), "steps_per_epoch": 5}


@pytest.mark.parametrize(
    # A generator may be read ahead: the next layer starts at a later batch.
    "source",
    [source for source in SOURCES if source is not as_generator],
)
def test_equals_training_by_hand(digits, source):
    images = digits[:100]
    expected, model = make_model(), make_model()
    by_hand(expected, images)
    fit(model, source(images), callbacks=[kh.LinearRateDecay()])
    for weight, its in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(weight),
            keras.ops.convert_to_numpy(its),
            rtol=1e-5,
            atol=1e-6,
            err_msg=weight.path,
        )


@pytest.mark.parametrize("source", [as_arrays, as_py_dataset])
def test_every_layer_learns_from_all_below(digits, source):
    keras.utils.set_random_seed(3)
    layers = [kh.HebbianCompetitive(units) for units in (12, 9, 6)]
    model = kh.HebbianSequential([keras.Input((64,)), *layers])
    seen = {}

    def watch(inputs):
        seen.setdefault(len(seen), keras.ops.convert_to_numpy(inputs))

    model.compile(run_eagerly=True)
    with layers[2].observed(watch):
        fit(model, source(digits[:100]), epochs=[1, 1, 1])
    first = kh.HebbianSequential([keras.Input((64,)), *layers[:2]])
    np.testing.assert_allclose(
        seen[0], first.predict(digits[:20], verbose=0), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("kind", [kh.HebbianSequential, keras.Sequential])
@pytest.mark.parametrize("given", [None, {}, {"steps_per_execution": 5}])
def test_settings_are_those_of_compile(given, kind):
    """Those that it left open are chosen for each layer."""
    if keras.backend.backend() == "torch":
        pytest.skip("Keras runs single steps on torch")
    model = kind([keras.Input((64,)), *make_model().layers])
    if given is not None:
        model.compile(**given)
    steps = []

    class Watch(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            steps.append(self.model.steps_per_execution)

    images = np.random.default_rng(0).random((400, 64), dtype="float32")
    kh.fit_layerwise(
        model, images, 2, epochs=[1, 1], callbacks=[Watch()], verbose=0
    )
    several = STEPS_PER_EXECUTION[keras.backend.backend()]
    if kind is keras.Sequential and given == {}:
        several = 1  # as Keras fills in
    assert steps == [(given or {}).get("steps_per_execution", several)] * 2


@pytest.mark.parametrize("source", [as_arrays, as_endless_generator])
def test_each_layer_has_its_history_and_its_decay(digits, source):
    model = make_model()
    lower, upper = fit(
        model, source(digits[:100]), callbacks=[kh.LinearRateDecay()]
    )
    rates = {epochs: 1 - np.arange(epochs) / epochs for epochs in EPOCHS}
    for history, epochs, name in ((lower, 2, "lower"), (upper, 3, "upper")):
        start = float(model.get_layer(name).learning_rate)
        np.testing.assert_allclose(
            history.history["local_learning_rate"],
            start * rates[epochs],
            rtol=1e-6,
        )
        assert "norm_distance" in history.history
    assert [int(model.get_layer(x).iterations) for x in ("lower", "upper")] == [
        10,
        15,
    ]


def test_frozen_layers_are_only_run_through(digits):
    model = make_model()
    model.get_layer("lower").trainable = False
    model.layers[1].trainable = False
    before = kernel_of(model.get_layer("lower"))
    expected = keras.Sequential(model.layers[:1])
    seen = []

    def callbacks(layer, x):
        seen.append((layer.name, x))
        return [kh.LearningMonitor(x)]

    (history,) = fit(
        model, as_arrays(digits[:100]), epochs=2, callbacks=callbacks
    )
    ((name, x),) = seen
    assert name == "upper"
    assert "dead" in history.history
    np.testing.assert_allclose(
        x, expected.predict(digits[:100], verbose=0), rtol=1e-5
    )
    np.testing.assert_array_equal(kernel_of(model.get_layer("lower")), before)
    assert [layer.trainable for layer in model.layers] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_a_model_without_shape_is_built_by_an_array(digits):
    model = kh.HebbianSequential(
        [
            kh.Convolution(kh.SoftHebb(4), 3),
            kh.Triangle(),
            keras.Sequential(
                [keras.layers.Flatten(), kh.HebbianCompetitive(5)]
            ),
        ]
    )
    images = digits[:40].reshape(-1, 8, 8, 1)
    histories = kh.fit_layerwise(model, images, verbose=0)
    assert len(histories) == 2
    assert model.predict(images, verbose=0).shape == (40, 5)


class Stops(keras.callbacks.Callback):
    """Stops the first layer after an epoch, and interrupts the second."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def on_epoch_end(self, epoch, logs=None):
        if self.layer.name == "lower":
            self.model.stop_training = True
        elif epoch == 1:
            raise KeyboardInterrupt


def test_a_layer_that_was_stopped_early_is_not_trained_again(digits, tmp_path):
    source, folder = as_arrays(digits[:100]), str(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(
            make_model(),
            source,
            callbacks=lambda layer, x: [Stops(layer)],
            backup_dir=folder,
        )
    model = make_model()
    lower, upper = fit(model, source, backup_dir=folder)
    assert (lower.epoch, upper.epoch) == ([], [2])
    assert int(model.get_layer("lower").iterations) == 5
    assert not list((tmp_path / "backup").glob("*"))


def unbuilt():
    return kh.HebbianSequential([kh.HebbianCompetitive(4)])


def frozen():
    model = make_model()
    model.trainable = False
    return model


@pytest.mark.parametrize(
    ("make", "source", "given", "message"),
    [
        (lambda: kh.HebbianCompetitive(4), as_arrays, {}, "Sequential"),
        (frozen, as_arrays, {}, "local layer that is `trainable`"),
        (unbuilt, as_endless_generator, {}, "built model"),
        (make_model, as_arrays, {"epochs": [1]}, "each of 2 local layers"),
        (make_model, as_arrays, {"epochs": [1, 0]}, "`epochs` to be an int"),
        (make_model, as_arrays, {"epochs": 1.5}, "`epochs` to be an int"),
        (
            make_model,
            as_arrays,
            {"callbacks": [keras.callbacks.BackupAndRestore("backup")]},
            "`backup_dir`",
        ),
    ],
)
def test_bad_input(digits, make, source, given, message):
    with pytest.raises(ValueError, match=f"Expected .*{message}.* Received:"):
        fit(make(), source(digits[:40]), **given)


@pytest.mark.parametrize("source", [as_arrays, as_py_dataset])
def test_a_layer_of_another_model_gets_the_inputs_of_this_one(source):
    shared = kh.Convolution(kh.SoftHebb(4), 3)
    kh.HebbianSequential([keras.Input((8, 8, 1)), shared])
    upper = kh.HebbianCompetitive(3)
    between = [keras.layers.MaxPooling2D(2), keras.layers.Flatten()]
    layers = [keras.Input((12, 12, 1)), shared, *between, upper]
    images = np.random.default_rng(0).random((40, 12, 12, 1), "float32")
    fit(kh.HebbianSequential(layers), source(images), epochs=1)
    assert upper.kernel.shape == (100, 3)
    assert int(upper.iterations) == 2


def test_a_monitor_of_the_inputs_is_refused_for_layers_above(digits):
    monitor = kh.LearningMonitor(digits[:100])
    with pytest.raises(ValueError, match="lambda layer, x"):
        kh.fit_layerwise(make_model(), digits[:100], callbacks=[monitor])


def test_monitors_of_what_each_layer_gets(digits):
    watch = kh.LearningMonitor(digits[:40])  # with batches of a data set
    for history in fit(
        make_model(), as_py_dataset(digits[:40]), callbacks=[watch]
    ):
        assert "dead" in history.history
    for history in fit(
        make_model(), as_arrays(digits[:40]), callbacks=[kh.LearningMonitor()]
    ):
        assert "change" in history.history


def test_each_stage_compiles_as_the_model(digits):
    model, seen = make_model(), []
    model.compile(jit_compile=False)
    see = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append(see.model.jit_compile)
    )
    fit(model, as_arrays(digits[:40]), epochs=1, callbacks=[see])
    assert seen == [False, False]


def test_a_classifier_that_asks_a_layer_is_no_stage(digits):
    learning, asked = kh.HebbianCompetitive(8), kh.HebbianCompetitive(8)
    above = keras.layers.BatchNormalization()
    classifier = kh.WinnerClassifier(3, layer=asked)
    model = kh.HebbianSequential(
        [keras.Input((64,)), learning, above, classifier]
    )
    before = above.get_weights()
    (history,) = kh.fit_layerwise(model, digits[:64], epochs=[2], verbose=0)
    assert len(history.epoch) == 2
    assert (int(learning.iterations), int(asked.iterations)) == (4, 0)
    for mine, its in zip(above.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)
