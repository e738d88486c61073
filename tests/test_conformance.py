"""Contracts of every public class; new classes are covered automatically."""

import inspect
import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
from public_classes import (
    ABSTRACT,
    IMAGES,
    UNITS,
    arguments,
    found,
    found_layers,
    inputs_of,
    make,
    ready,
)

CONFIGURED = (keras.layers.Layer, keras.losses.Loss)
by_name = {"ids": lambda x: x.__name__}
every_class = pytest.mark.parametrize("public", found(), **by_name)
every_layer = pytest.mark.parametrize("public", found_layers(), **by_name)
every_local_layer = pytest.mark.parametrize(
    "public", found((kh.LocalLearningLayer, kh.Convolution)), **by_name
)
every_configured = pytest.mark.parametrize(
    "public", found(CONFIGURED, but=keras.Model), **by_name
)
every_model = pytest.mark.parametrize("public", found(keras.Model), **by_name)


def state_of(layer):
    return [ops.convert_to_numpy(weight) for weight in layer.weights]


def assert_equal(weights, others):
    for mine, its in zip(weights, others, strict=True):
        np.testing.assert_array_equal(mine, its)


def input_of(public):
    return keras.Input(inputs_of(public).shape[1:])


def learner(layer):
    """The layer with the state: the layer itself, or the one that it wraps."""
    return layer.layer if isinstance(layer, kh.Convolution) else layer


def outputs_of(model, images=IMAGES):
    return ops.convert_to_numpy(model(images))


def test_something_is_found():
    kinds = (keras.Layer, keras.Model, keras.losses.Loss)
    assert all(found(kind) for kind in (*kinds, keras.callbacks.Callback))
    assert len(found(kh.LocalLearningLayer)) >= 2


@pytest.mark.parametrize("public", [*found(), *ABSTRACT], **by_name)
def test_the_docstring_documents_the_signature(public):
    documented = inspect.getdoc(public)
    assert "\n>>> " in documented.partition("\nExample:\n")[2] or not (
        inspect.signature(public).parameters
    )
    _, _, section = documented.partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", section)[0]
    listed = re.findall(r"^    (\w+): ", section, flags=re.MULTILINE)
    if not issubclass(public, keras.Model):  # which has Keras's own
        assert listed == list(arguments(public))
    assert "\nRaises:\n" in documented or not listed


def documented_defaults(public):
    """The defaults in the docstring, as code, by argument."""
    _, _, section = inspect.getdoc(public).partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", section)[0]
    for part in re.split(r"^    (?=\w)", section, flags=re.MULTILINE)[1:]:
        default = re.search(
            r"Defaults to `([^`]+)`(?:, which is `([^`]+)`)?",
            " ".join(part.split()),
        )
        if default:
            yield part.partition(":")[0], default[2] or default[1]


@every_configured
def test_defaults_are_those_of_the_docstring(public):
    def config(**given):
        name = {} if "name" in arguments(public) else {"name": "it"}
        return make(public, **name, **given).get_config()

    for argument, code in documented_defaults(public):
        assert config(**{argument: eval(code)}) == config(), argument


@every_configured
def test_the_configuration_makes_an_equal_copy(public):
    instance = make(public)
    config = instance.get_config()
    assert set(arguments(public)) - {"kwargs"} <= set(config)
    assert public.from_config(config).get_config() == config
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(instance)
    )
    assert type(again) is public
    assert again.get_config() == config


@every_layer
def test_files_keep_layers(public, tmp_path):
    model = keras.Sequential([input_of(public), ready(public)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.layers[0]) is public
    assert_equal(state_of(loaded), state_of(model))
    images = inputs_of(public)
    np.testing.assert_array_equal(
        outputs_of(loaded, images), outputs_of(model, images)
    )


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        return self.layer(inputs)


def functional(layer):
    inputs = input_of(type(layer))
    return keras.Model(inputs, layer(inputs))


@every_layer
@pytest.mark.parametrize(
    "wrap", [lambda x: keras.Sequential([x]), functional, Subclassed]
)
def test_works_in_every_kind_of_model(public, wrap):
    layer = ready(public)
    images = inputs_of(public)
    expected = outputs_of(layer, images)
    model = wrap(layer)
    np.testing.assert_allclose(
        model.predict(images, verbose=0), expected, rtol=1e-5, atol=1e-6
    )
    assert expected.shape == layer.compute_output_shape(images.shape)
    if images is not IMAGES:
        return  # each axis of an image has its meaning
    images = np.stack([IMAGES, IMAGES], axis=1)  # leading axes are samples
    np.testing.assert_allclose(
        outputs_of(layer, images)[:, 1], expected, rtol=1e-5, atol=1e-6
    )


@every_layer
def test_inference_changes_nothing(public):
    layer = ready(public)
    before = state_of(layer)
    model = keras.Sequential([layer])
    images = inputs_of(public)
    model.predict(images, verbose=0)
    layer(images)
    if "training" in inspect.signature(layer.call).parameters:
        layer(images, training=False)
    assert_equal(state_of(layer), before)


@every_local_layer
def test_learns_in_training_and_a_frozen_layer_does_not(public):
    layer = ready(public)
    images = inputs_of(public)
    layer.trainable = False
    before = state_of(layer)
    layer(images, training=True)
    assert_equal(state_of(layer), before)
    layer.trainable = True
    layer(images, training=True)
    changed = dict(zip([x.name for x in layer.weights], before, strict=True))
    for name, weight in learner(layer).state.items():
        value = ops.convert_to_numpy(weight)
        assert np.abs(value - changed[name]).max() > 0


@every_local_layer
@pytest.mark.parametrize(
    "policy", ["bfloat16", "mixed_bfloat16", "mixed_float16"]
)
def test_a_mixed_policy_learns_in_float32(public, policy):
    layer = ready(public, dtype=policy)
    before = state_of(layer)
    outputs = layer(inputs_of(public), training=True)
    narrow = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(outputs.dtype) == narrow
    assert {weight.dtype for weight in layer.weights} == {"float32", "int32"}
    names = [weight.name for weight in layer.weights]
    after = dict(zip(names, state_of(layer), strict=True))
    before = dict(zip(names, before, strict=True))
    moved = [
        np.abs(after[x] - before[x]).max() for x in learner(layer).state_names
    ]
    assert moved[0] > 0
    assert max(moved) > 1e-4


@every_layer
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_mixed_policy_gives_nearly_the_same(public, policy):
    layer, mixed = ready(public), ready(public, dtype=policy)
    mixed.set_weights(layer.get_weights())
    images = inputs_of(public)
    outputs = ops.convert_to_numpy(ops.cast(mixed(images), "float32"))
    expected = outputs_of(layer, images)
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(outputs / scale, expected / scale, atol=0.05)


@every_model
def test_models_learn_without_a_loss_and_are_saved(public, tmp_path):
    layer = kh.HebbianCompetitive(UNITS)
    if issubclass(public, keras.Sequential):
        model = public([keras.Input((UNITS,)), layer])
    else:
        inputs = keras.Input((UNITS,))
        model = public(inputs, layer(inputs))
    model.compile()
    before = layer.get_weights()[0]
    model.fit(IMAGES, verbose=0)
    assert np.abs(layer.get_weights()[0] - before).max() > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, public)
    np.testing.assert_array_equal(outputs_of(loaded), outputs_of(model))
