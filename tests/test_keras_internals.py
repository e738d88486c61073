"""What this package uses of Keras beyond its documented interface.

If a test fails, its message says what no longer holds, and where it is used.
"""

import inspect

import keras
import numpy as np
import pytest

import keras_hebbian as kh
from keras_hebbian._checks import check_fit
from keras_hebbian._execution import _COUNTED, _FOR_ROWS
from keras_hebbian.layers.local_layers import local_layers

IMAGES = np.random.default_rng(0).random((40, 6), dtype="float32")


def model_with(**arguments):
    layer = kh.HebbianCompetitive(4, name="units")
    model = kh.HebbianSequential([keras.Input((6,)), layer])
    model.compile(**arguments)
    return model


class Wrapped(keras.layers.Layer):
    """A local layer inside a layer that is not a model."""

    def __init__(self):
        super().__init__()
        self.units = kh.HebbianCompetitive(4)

    def call(self, inputs):
        return self.units(inputs)


def test_nested_layers_are_found():
    inner = keras.Sequential([keras.Input((6,)), Wrapped()])
    model = keras.Sequential([keras.Input((6,)), inner])
    assert local_layers(model) == [inner.layers[0].units], (
        "`Layer._flatten_layers()` no longer lists all "
        "layers inside a layer; `local_layers` in layers/local_layers.py "
        "relies on it."
    )


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="other backends have no such step"
)
def test_variables_are_purged_by_one_method():
    assert hasattr(keras.Model, "_purge_model_variables"), (
        "Keras no longer removes the values of variables in "
        "`_purge_model_variables`; models.py overrides it."
    )


def test_the_functional_class_is_that_of_a_model_of_tensors():
    inputs = keras.Input((6,))
    outputs = kh.HebbianCompetitive(4)(inputs)
    model = kh.HebbianModel(inputs, outputs)
    assert type(keras.Model(inputs, outputs)) in type(model).__mro__, (
        "`keras.Model(inputs, outputs)` no longer makes an instance of one "
        "class; `Functional` in _checks.py relies on it."
    )
    assert not issubclass(kh.HebbianModel, type(keras.Model(inputs, outputs)))


def test_fit_takes_what_models_look_at():
    names = set(inspect.signature(keras.Model.fit).parameters)
    checked = set(inspect.signature(check_fit).parameters)
    expected = (checked - {"model", "others"}) | _FOR_ROWS | set(_COUNTED)
    assert expected <= names, (
        "`keras.Model.fit` has other arguments now; models.py, _checks.py and "
        f"_execution.py read {expected - names} by name."
    )


def test_compiled_models_have_the_attributes_that_models_read():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    for name in (
        "_compile_loss",
        "_compile_metrics",
        "compiled",
        "jit_compile",
        "loss",
        "predict_function",
        "run_eagerly",
        "steps_per_execution",
        "test_function",
        "train_function",
    ):
        assert hasattr(model, name), (
            f"A compiled model has no attribute `{name}` any more; models.py "
            "reads it."
        )


def test_callbacks_share_the_logs_of_an_epoch():
    seen = []

    class First(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["added"] = 1.0

    class Second(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(logs.get("added"))

    history = model_with().fit(IMAGES, callbacks=[First(), Second()], verbose=0)
    assert seen == [1.0], (
        "Callbacks no longer share one dict of logs; the reports of models.py "
        "and LearningMonitor reach the progress bar through it."
    )
    assert history.history["added"] == [1.0]


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="a function of JAX's trainer"
)
@pytest.mark.parametrize("samples", [40, 36, 10])
def test_several_steps_of_an_execution_are_all_learned(samples):
    model = model_with(steps_per_execution=3)
    model.fit(IMAGES[:samples], batch_size=4, verbose=0)
    assert int(model.layers[0].iterations) == -(-samples // 4), (
        "Keras hands other batches to the training function of JAX now; "
        "`make_train_function` in models.py replaces it before Keras 3.16."
    )


def test_weights_in_dicts_are_tracked_and_saved():
    layer = kh.HebbianCompetitive(4)
    layer.build((None, 6))
    assert any(weight is layer.learning_rate for weight in layer.weights), (
        "A weight in a dict of a layer is no longer tracked; the rates in "
        "layers/local_learning.py rely on it."
    )


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="a method of torch's trainer"
)
def test_torch_wraps_models_where_it_did():
    if tuple(map(int, keras.version().split(".")[:2])) < (3, 16):
        pytest.skip("Keras wraps no model before 3.16")
    assert hasattr(keras.Model, "_initialize_ddp"), (
        "Keras no longer wraps a model for `torch.distributed` in "
        "`_initialize_ddp`; models.py overrides it for models without a loss."
    )
