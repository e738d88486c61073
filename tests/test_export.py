"""Exported models, each run by its own runtime, equal the live ones."""

import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
from keras_hebbian._execution import KERAS_VERSION
from public_classes import UNITS, found_layers, inputs_of, ready

# Runtimes and converters may fork a process.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")
BACKEND = keras.backend.backend()
newer_format = pytest.mark.skipif(
    KERAS_VERSION < (3, 15), reason="Keras 3.10 exports fewer formats"
)
IMAGES = np.random.default_rng(1).random((9, UNITS), dtype="float32")
PICTURES = np.random.default_rng(1).random((9, 5, 6, 2), dtype="float32")

SERVE = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
for name in sys.argv[2:]:
    images = np.load(folder + "/" + name + "_images.npy")
    served = tf.saved_model.load(folder + "/" + name)
    first = served.serve(images[:7]).numpy()
    outputs = served.serve(images).numpy()
    np.testing.assert_array_equal(first, served.serve(images[:7]).numpy())
    np.save(folder + "/" + name + ".npy", outputs)
assert "keras_hebbian" not in sys.modules
"""


def one_layer(public):
    inputs = keras.Input(inputs_of(public).shape[1:])
    return keras.Sequential([inputs, ready(public)])


def convolutions():
    """With patches, with borders and with positions, one above the other."""
    layers = [
        kh.Convolution(kh.SoftHebb(3), 2, padding="reflect", positions=4),
        keras.layers.BatchNormalization(),
        kh.Triangle(),
        kh.Convolution(
            kh.LateralInhibitionSparse(3), (2, 3), strides=2, padding="same"
        ),
    ]
    return keras.Sequential([keras.Input(PICTURES.shape[1:]), *layers])


def readout():
    layers = [ready(kh.HebbianCompetitive), kh.RectifiedPower(2)]
    dense = keras.layers.Dense(3, activation="tanh")
    return keras.Sequential([keras.Input((UNITS,)), *layers, dense])


def winner_classifier():
    units = kh.HebbianSequential(
        [keras.Input((UNITS,)), ready(kh.LateralInhibitionSparse)]
    )
    units.compile()
    units.fit(IMAGES, verbose=0)
    classifier = ready(kh.WinnerClassifier)
    return keras.Sequential([keras.Input((UNITS,)), *units.layers, classifier])


MODELS = {
    **{x.__name__: lambda x=x: one_layer(x) for x in found_layers()},
    "convolutions": convolutions,
    "readout": readout,
    "winner_classifier": winner_classifier,
}
every_model = pytest.mark.parametrize("name", MODELS)


def make_model(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*won no sample")
        model = MODELS[name]()
    model(images_for(model))  # ONNX is made of models that have been called
    return model


def images_for(model):
    return PICTURES if len(model.input_shape) == 4 else IMAGES


def export(model, path, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converters
        model.export(path, verbose=False, **arguments)


def assert_equal_to(model, run):
    """For batches of any size."""
    images = images_for(model)
    expected = ops.convert_to_numpy(ops.stop_gradient(model(images)))
    for batch in (len(images), 1, 4):
        np.testing.assert_allclose(
            run(images[:batch]), expected[:batch], rtol=0, atol=1e-5
        )


@pytest.mark.skipif(BACKEND == "torch", reason="Keras cannot")
def test_saved_models_are_served_by_tensorflow_alone(tmp_path):
    pytest.importorskip("tensorflow")
    models = {name: make_model(name) for name in MODELS}
    for name, model in models.items():
        np.save(tmp_path / f"{name}_images.npy", images_for(model))
        export(model, tmp_path / name)
    command = [sys.executable, "-c", SERVE, tmp_path, *MODELS]
    subprocess.run(command, check=True)
    for name, model in models.items():
        np.testing.assert_allclose(
            np.load(tmp_path / f"{name}.npy"),
            model.predict(images_for(model), verbose=0),
            rtol=0,
            atol=1e-5,
        )


# The converter of JAX fails on a fractional power of a free batch.
FIXED_BATCH = {"RectifiedPower"} if BACKEND == "jax" else set()


@every_model
def test_onnx_runs_it(tmp_path, name):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip(
        {"tensorflow": "tf2onnx", "jax": "jax2onnx"}.get(BACKEND, "onnx")
    )
    if name in FIXED_BATCH:
        pytest.skip("the converter fails on a fractional power")
    model = make_model(name)
    path = str(tmp_path / "model.onnx")
    export(model, path, format="onnx")
    session = runtime.InferenceSession(path)
    (given,) = session.get_inputs()
    assert_equal_to(model, lambda x: session.run(None, {given.name: x})[0])


@every_model
@newer_format
@pytest.mark.skipif(BACKEND != "tensorflow", reason="needs a converter")
def test_litert_runs_it(tmp_path, name):
    runtime = pytest.importorskip("ai_edge_litert.interpreter")
    model = make_model(name)
    path = str(tmp_path / "model.tflite")
    export(model, path, format="litert")
    interpreter = runtime.Interpreter(path)
    (given,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()

    def run(images):
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    assert_equal_to(model, run)


@every_model
@newer_format
@pytest.mark.skipif(BACKEND == "jax", reason="OpenVINO cannot")
def test_openvino_runs_it(tmp_path, name):
    openvino = pytest.importorskip("openvino")
    model = make_model(name)
    path = str(tmp_path / "model.xml")
    export(model, path, format="openvino")
    # By default it rounds to bfloat16 where the processor has it.
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", precise)
    assert_equal_to(model, lambda x: compiled(x)[0])


@every_model
@newer_format
@pytest.mark.skipif(BACKEND != "torch", reason="needs torch")
def test_torch_runs_it(tmp_path, name):
    import torch

    model = make_model(name)
    path = str(tmp_path / "model.pt2")
    batch = torch.export.Dim("batch", min=1, max=1024)
    export(model, path, format="torch", dynamic_shapes={0: batch})
    program = torch.export.load(path).module()
    assert_equal_to(
        model, lambda x: program(torch.from_numpy(x)).detach().numpy()
    )


REFUSED = {
    "tensorflow": [("torch", ".pt2", "requires PyTorch")],
    "jax": [
        ("torch", ".pt2", "requires PyTorch"),
        ("litert", ".tflite", "requires TensorFlow or PyTorch"),
        ("openvino", ".xml", "unsupported operations|XlaCallModule"),
    ],
    "torch": [("tf_saved_model", "", "dynamic_shapes")],
}


@newer_format
@pytest.mark.parametrize(("kind", "suffix", "message"), REFUSED[BACKEND])
def test_what_keras_cannot_export_it_refuses(tmp_path, kind, suffix, message):
    if kind == "openvino":
        pytest.importorskip("openvino")
    if kind == "tf_saved_model":
        pytest.importorskip("tensorflow")
    model = make_model("HebbianCompetitive")
    with pytest.raises(Exception, match=message):
        export(model, str(tmp_path / f"model{suffix}"), format=kind)
