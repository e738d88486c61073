"""How `fit` runs its steps where `compile` leaves that open."""

import inspect
import math

import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
from keras_hebbian._execution import (
    KERAS_VERSION,
    STEPS_PER_EXECUTION,
    TUNED_FROM,
    execution_of,
)
from keras_hebbian._programs import row_batches

BACKEND = keras.backend.backend()
SEVERAL = STEPS_PER_EXECUTION[BACKEND]
IMAGES = np.random.default_rng(0).random((403, 6), dtype="float32")


def model_with(**arguments):
    keras.utils.set_random_seed(0)
    layer = kh.HebbianCompetitive(4, name="units")
    model = kh.HebbianSequential([keras.Input((6,)), layer])
    model.compile(**arguments)
    return model


def fitted(images=IMAGES, seed=1, **arguments):
    """A model after two epochs of 101 batches, the last of 3 samples."""
    model = model_with()
    keras.utils.set_random_seed(seed)
    model.fit(images, batch_size=4, epochs=2, verbose=0, **arguments)
    return model


def steps_of(model, *callbacks, **arguments):
    """How many steps `fit` runs at once."""
    seen = []
    see = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.steps_per_execution)
    )
    arguments = {"x": IMAGES, "batch_size": 4, "epochs": 2, **arguments}
    model.fit(**arguments, verbose=0, callbacks=[*callbacks, see])
    (steps,) = set(seen)
    return steps


def kernel_of(model):
    return ops.convert_to_numpy(model.layers[0].kernel).copy()


class Counter(keras.callbacks.Callback):
    """Counts in one of the hooks for batches."""

    def __init__(self, hook):
        super().__init__()
        self.batches = []
        setattr(self, hook, lambda batch, logs=None: self.batches.append(batch))


def mean_output(labels, outputs):
    return ops.mean(outputs, axis=-1)


class Cut(keras.utils.PyDataset):
    """The same batches, which take Keras's own path."""

    def __len__(self):
        return 101

    def __getitem__(self, index):
        return (IMAGES[4 * index : 4 * (index + 1)],)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_arrays_teach_what_their_batches_do_to_the_bit(dtype):
    images = (255 * IMAGES).astype("uint8").astype(dtype)
    whole, cut = (model_with(steps_per_execution=1) for _ in range(2))
    whole.fit(images, batch_size=4, epochs=2, shuffle=False, verbose=0)
    batches = [images[i : i + 4] for i in range(0, 403, 4)]
    if dtype == "float64":
        batches = [batch.astype("float32") for batch in batches]
    for batch in 2 * batches:
        cut.train_on_batch(batch)
    assert int(whole.layers[0].iterations) == 202
    np.testing.assert_array_equal(kernel_of(whole), kernel_of(cut))


def test_several_steps_in_a_go_teach_what_single_ones_do():
    one = model_with(steps_per_execution=1)
    one.fit(Cut(), epochs=2, shuffle=False, verbose=0)
    several = model_with()
    assert steps_of(several, shuffle=False) == SEVERAL
    assert int(several.layers[0].iterations) == 202
    np.testing.assert_allclose(kernel_of(several), kernel_of(one), rtol=1e-6)


def test_the_order_of_a_fit_is_that_of_its_seed():
    first, again, other = (kernel_of(fitted(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    # Keras 3.16 on JAX has one order for all seeds.
    if BACKEND != "jax" or KERAS_VERSION < (3, 16):
        assert np.abs(first - other).max() > 1e-4
    in_order = kernel_of(fitted(shuffle=False))
    assert np.abs(first - in_order).max() > 1e-4


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a tf.data.Dataset")
def test_each_epoch_has_its_own_order_of_all_rows():
    batches = iter(row_batches(IMAGES, 4, shuffle=True))
    epochs = [[next(batches) for _ in range(101)] for _ in range(3)]
    orders = [np.concatenate([x.numbers for x in each]) for each in epochs]
    for order, each in zip(orders, epochs, strict=True):
        np.testing.assert_array_equal(np.sort(order), np.arange(403))
        assert [len(x.numbers) for x in each] == 100 * [4] + [3]
        taken = np.concatenate([x.take() for x in each])
        np.testing.assert_array_equal(taken, IMAGES[order])
    assert (orders[0] != orders[1]).any()
    assert (orders[1] != orders[2]).any()


def test_an_array_that_changed_between_fits_is_seen():
    images = IMAGES.copy()
    model, other = model_with(), model_with()
    for each in (model, other):
        each.fit(images, batch_size=4, shuffle=False, verbose=0)
    images[:] = IMAGES[::-1]
    model.fit(images, batch_size=4, shuffle=False, verbose=0)
    other.fit(IMAGES[::-1].copy(), batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_array_equal(kernel_of(model), kernel_of(other))


@pytest.mark.parametrize(
    "hook",
    [
        "on_batch_begin",
        "on_batch_end",
        "on_train_batch_begin",
        "on_train_batch_end",
    ],
)
def test_callbacks_that_need_batches_get_each(hook):
    counter = Counter(hook)
    model = fitted(callbacks=[counter])
    assert counter.batches == 2 * list(range(101))
    assert int(model.layers[0].iterations) == 202


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end"])
def test_a_callback_of_batches_reads_and_assigns_what_learns(hook):
    model = model_with()
    (layer,) = model.layers
    seen = []

    def stop(batch, logs):
        seen.append((int(layer.iterations), kernel_of(model)))
        if batch == 1:
            layer.learning_rate = 0.0

    callback = keras.callbacks.LambdaCallback(**{hook: stop})
    model.fit(IMAGES[:16], batch_size=4, verbose=0, callbacks=[callback])
    first = 0 if hook == "on_train_batch_begin" else 1
    assert [count for count, _ in seen] == [*range(first, first + 4)]
    assert float(layer.learning_rate) == 0
    kernels = [kernel for _, kernel in seen]
    assert np.abs(kernels[1] - kernels[0]).max() > 0
    for kernel in kernels[2:]:
        np.testing.assert_array_equal(kernel, kernels[1])


def test_callbacks_of_epochs_change_nothing(tmp_path):
    path = tmp_path / "{epoch}.weights.h5"
    callbacks = [
        keras.callbacks.ModelCheckpoint(path, save_weights_only=True),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
        kh.LinearRateDecay(),
    ]
    assert steps_of(model_with(), *callbacks) == SEVERAL
    assert len(list(tmp_path.iterdir())) == 2
    checkpoint = keras.callbacks.ModelCheckpoint(
        path, save_weights_only=True, save_freq=7
    )
    assert steps_of(model_with(), checkpoint) == 1


def test_callbacks_in_a_list_of_keras_are_called():
    model, calls = model_with(), []
    count = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: calls.append((epoch, logs))
    )
    callbacks = keras.callbacks.CallbackList(
        [count], model=model, add_history=True
    )
    model.fit(IMAGES, batch_size=4, epochs=2, callbacks=callbacks, verbose=0)
    (first, logs), (second, _) = calls
    assert (first, second) == (0, 1)
    assert "norm_distance" in logs
    assert int(model.layers[0].iterations) == 202


@pytest.mark.parametrize(
    ("samples", "given", "several"),
    [
        (400, {}, True),
        (396, {}, False),
        (403, {"steps_per_epoch": 50, "epochs": 2}, False),
        (403, {"steps_per_epoch": 10, "epochs": 10}, False),
    ],
)
def test_executions_have_several_steps_from_200_batches_on(
    samples, given, several
):
    model = model_with()
    steps = steps_of(model, x=IMAGES[:samples], **given)
    assert steps == (SEVERAL if several else 1)
    batches = given.get("steps_per_epoch", -(-samples // 4))
    epochs = given.get("epochs", 2)
    assert int(model.layers[0].iterations) == batches * epochs


def test_a_fit_learns_from_the_steps_that_were_asked_for():
    """Also where they are many, and no multiple of an execution."""
    model = model_with()
    model.fit(IMAGES, batch_size=1, steps_per_epoch=7, epochs=30, verbose=0)
    assert int(model.layers[0].iterations) == 210


def test_predictions_after_a_long_fit_are_of_the_steps_that_were_asked_for():
    model = model_with(metrics=[keras.metrics.MeanMetricWrapper(mean_output)])
    labels = np.zeros((403, 4), "float32")
    counter = Counter("on_test_batch_end")
    model.fit(
        IMAGES,
        labels,
        batch_size=4,
        epochs=2,
        validation_data=(IMAGES, labels),
        validation_batch_size=4,
        validation_steps=3,
        callbacks=[counter],
        verbose=0,
    )
    assert counter.batches == 2 * [0, 1, 2]
    predicted = model.predict(IMAGES, batch_size=4, steps=3, verbose=0)
    assert predicted.shape == (12, 4)
    counter = Counter("on_test_batch_end")
    model.evaluate(
        IMAGES, labels, batch_size=4, steps=3, callbacks=[counter], verbose=0
    )
    assert counter.batches == [0, 1, 2]


@pytest.mark.skipif(BACKEND == "torch", reason="compiles nothing")
def test_a_callback_runs_the_steps_that_it_asks_for():
    model = model_with()
    batches = [IMAGES[:8], IMAGES[8:16], IMAGES[16:24], IMAGES[24:32]]
    calls = []

    def call(epoch, logs):
        outputs = model.predict(IMAGES, batch_size=8, steps=3, verbose=0)
        np.testing.assert_allclose(
            outputs, IMAGES[:24] @ kernel_of(model), rtol=1e-5
        )
        calls.append(model.predict_function)
        assert model.predict_on_batch(batches[0]).shape == (8, 4)
        reported = model.test_on_batch(batches[0])
        several = ((batch,) for batch in batches)
        assert model.evaluate(several, steps=1, verbose=0) == reported

    look = keras.callbacks.LambdaCallback(on_epoch_end=call)
    assert steps_of(model, look, epochs=3) == SEVERAL
    assert int(model.layers[0].iterations) == 303
    assert len(set(map(id, calls))) == 1  # compiled once
    outputs = model.predict(IMAGES, batch_size=8, steps=3, verbose=0)
    assert outputs.shape == (24, 4)


@pytest.mark.skipif(BACKEND == "torch", reason="compiles nothing")
def test_fits_one_after_another_are_compiled_once():
    model = model_with()
    functions = []
    keep = keras.callbacks.LambdaCallback(
        on_train_end=lambda logs: functions.append(model.train_function)
    )
    for _ in range(3):
        model.fit(IMAGES, batch_size=4, epochs=2, callbacks=[keep], verbose=0)
        model.predict(IMAGES[:4], verbose=0)
        functions.append(model.predict_function)
    assert len({id(each) for each in functions}) == 2


@pytest.mark.parametrize("steps", [1, 7])
def test_what_is_said_is_obeyed(steps, tmp_path):
    if BACKEND == "torch" and steps > 1:
        pytest.skip("Keras runs single steps on torch")
    model = model_with(steps_per_execution=steps)
    counter = Counter("on_train_batch_end")
    model.fit(IMAGES, batch_size=4, callbacks=[counter], verbose=0)
    assert model.steps_per_execution == steps
    assert len(counter.batches) == -(-101 // steps)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.fit(IMAGES, batch_size=4, verbose=0)
    assert loaded.steps_per_execution == steps


def test_what_is_left_open_stays_so_in_a_file(tmp_path):
    fitted().save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.compiled
    assert loaded.steps_per_execution == 1
    assert steps_of(loaded) == SEVERAL


@pytest.mark.parametrize(
    ("compiled", "given"),
    [
        ({}, {"x": IMAGES[:396], "epochs": 2}),  # 198 batches
        ({}, {"x": Cut()}),
        ({"run_eagerly": True}, {"x": IMAGES}),
        ({"loss": "mse"}, {"x": IMAGES, "y": np.zeros((403, 4))}),
    ],
    ids=["few batches", "no array", "eager", "with a loss"],
)
@pytest.mark.filterwarnings("ignore:The model does not have any trainable")
def test_otherwise_it_stays_with_single_steps(compiled, given):
    model = model_with(**compiled)
    given = {"epochs": 1, "shuffle": False, **given}
    assert steps_of(model, **given) == 1


@pytest.mark.skipif(BACKEND != "tensorflow", reason="compiles always or never")
@pytest.mark.parametrize(
    ("above", "compiled", "expected"),
    [
        ([], {}, "auto"),
        ([keras.layers.UnitNormalization()], {}, "auto"),
        ([], {"jit_compile": "auto"}, "auto"),
        ([], {"jit_compile": True}, True),
        ([], {"jit_compile": False}, False),
        ([], {"run_eagerly": True}, None),
        ([], {"loss": "mse"}, None),
        ([keras.layers.Lambda(lambda x: x)], {}, "auto"),
        (
            [keras.layers.BatchNormalization(center=False, scale=False)],
            {},
            False,
        ),
        (
            [keras.layers.BatchNormalization(center=False, scale=False)],
            {"jit_compile": True},
            True,
        ),
    ],
)
def test_xla_on_tensorflow_is_for_dense_layers_or_those_who_ask(
    above, compiled, expected
):
    layers = [keras.Input((6,)), kh.HebbianCompetitive(4), *above]
    model = kh.HebbianSequential(layers)
    model.compile(steps_per_execution=3, **compiled)
    jit_is_open = compiled.get("jit_compile", "auto") == "auto"
    execution = execution_of(model, 4, jit_is_open)
    assert (execution and execution.keywords["jit_compile"]) is expected
    assert execution_of(model, None, jit_is_open) is None
    if "loss" not in compiled:
        model.fit(IMAGES, batch_size=4, epochs=2, verbose=0)
        assert int(model.layers[0].iterations) == 202


@pytest.mark.parametrize(
    ("samples", "size"),
    [
        *((samples, 4) for samples in (4, 159, 160, 161, 320, 403)),
        *((samples, 5) for samples in (199, 403)),
        (403, 500),
    ],
)
def test_each_epoch_ends_with_its_last_sample(samples, size):
    """Whatever is left of the batches of an execution, and of a batch."""
    several, single = (model_with(steps_per_execution=x) for x in (SEVERAL, 1))
    for model in (several, single):
        model.fit(
            IMAGES[:samples],
            batch_size=size,
            epochs=3,
            shuffle=False,
            verbose=0,
        )
        steps = int(model.layers[0].iterations)
        assert steps == 3 * math.ceil(samples / size)
    np.testing.assert_allclose(kernel_of(several), kernel_of(single), rtol=1e-6)


def test_a_single_batch_after_a_fit():
    model = fitted(shuffle=False)
    model.train_on_batch(IMAGES[:4])
    model.fit(IMAGES, batch_size=4, verbose=0)
    assert int(model.layers[0].iterations) == 304


@pytest.mark.filterwarnings("ignore:Nothing learns")
@pytest.mark.parametrize("last", [403, 8])
def test_predictions_after_a_fit_are_those_before(last):
    """Its functions run the same number of steps as they were compiled for."""
    model = model_with()
    model.layers[0].trainable = False
    images = IMAGES[:last]
    before = model.predict(images, batch_size=4, verbose=0)
    model.fit(IMAGES, batch_size=4, verbose=0)
    after = model.predict(images, batch_size=4, verbose=0)
    np.testing.assert_allclose(after, before, rtol=1e-6)
    model.evaluate(images, batch_size=4, verbose=0)


def test_a_model_with_its_own_step_gets_its_batches():
    seen = []

    def shape_of(data):
        images, *_ = keras.utils.unpack_x_y_sample_weight(data)
        return tuple(images.shape[1:])

    class Own(kh.HebbianSequential):
        if BACKEND == "jax":

            def train_step(self, state, data):
                seen.append(shape_of(data))
                return super().train_step(state, data)

        else:

            def train_step(self, data):
                seen.append(shape_of(data))
                return super().train_step(data)

    model = Own([keras.Input((6,)), kh.HebbianCompetitive(4)])
    model.compile()
    model.fit(IMAGES, batch_size=4, verbose=0)
    assert set(seen) == {(6,)}


def test_a_list_of_callbacks_can_be_used_again():
    model = kh.HebbianSequential([keras.Input((6,)), kh.HebbianCompetitive(4)])
    model.compile()
    callbacks = keras.callbacks.CallbackList([], model=model, add_history=True)
    for _ in range(2):
        model.fit(IMAGES, callbacks=callbacks, verbose=0)
    kinds = [type(each).__name__ for each in callbacks.callbacks]
    assert kinds.count("LayerReports") == 1


def test_the_docstring_has_the_numbers_of_the_code():
    text = inspect.getdoc(kh.HebbianSequential)
    steps = STEPS_PER_EXECUTION
    assert f"{steps['tensorflow']} steps per execution on TensorFlow" in text
    assert f"{steps['jax']} on JAX" in text
    assert f"{TUNED_FROM} batches or more" in text
