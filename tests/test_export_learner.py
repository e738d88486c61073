"""Exported learners, each run by its own runtime, learn as live models do."""

import pathlib
import resource
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_hebbian as kh
from public_classes import UNITS, found, inputs_of, ready

# Runtimes and converters may fork a process.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")
BACKEND = keras.backend.backend()
FORMATS = {
    "tensorflow": ["tf_saved_model", "litert"],
    "jax": ["tf_saved_model"],
    "torch": [],
}[BACKEND]
every_format = pytest.mark.parametrize("format", FORMATS)
BATCH, STEPS = 8, 100
RUNTIME = pathlib.Path(__file__).with_name("learner_runtime.py")

# By default so sensitive that float32 is not enough for so many steps.
GENTLE = {"norm": 4.0, "learning_rate": 0.03, "threshold_rate": 0.1}
ARGUMENTS = {kh.LateralInhibitionSparse: GENTLE}


def one_layer(public):
    layer = ready(public, **ARGUMENTS.get(public, {}))
    inputs = keras.Input(inputs_of(public).shape[1:])
    return kh.HebbianSequential([inputs, layer])


def competing():
    """What the defaults leave out."""
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 90)
    layer = kh.HebbianCompetitive(
        6, p=3, k=3, delta=0.2, learning_rate=schedule, activation="sigmoid"
    )
    return kh.HebbianSequential([keras.Input((UNITS,)), layer])


def dense():
    """One layer above the other, sample by sample, and a vote."""
    first = kh.SoftHebb(6, anti_hebbian=False, activation="sigmoid")
    second = kh.LateralInhibitionSparse(
        5, update="sequential", topography=5, **GENTLE
    )
    classifier = kh.WinnerClassifier(3)
    votes = np.eye(5, dtype="float32")
    classifier.adapt(votes, np.arange(5) % 3)
    inputs = keras.Input((UNITS,))
    return kh.HebbianSequential([inputs, first, second, classifier])


def convolutions():
    layers = [
        keras.layers.BatchNormalization(center=False, scale=False),
        kh.Convolution(kh.SoftHebb(3), 3, padding="reflect"),
        kh.Triangle(),
        keras.layers.MaxPooling2D(2),
        kh.Convolution(
            kh.LateralInhibitionSparse(3, **GENTLE), 2, padding="same"
        ),
    ]
    return kh.HebbianSequential([keras.Input((5, 6, 2)), *layers])


def sequential_map():
    layer = kh.SelfOrganizingMap((2, 3), update="sequential")
    return kh.HebbianSequential([keras.Input((UNITS,)), layer])


def positions():
    layer = kh.Convolution(kh.SoftHebb(3), 2, positions=4, seed=1)
    return kh.HebbianSequential([keras.Input((5, 6, 2)), layer])


MODELS = {
    **{
        public.__name__: lambda public=public: one_layer(public)
        for public in found((kh.LocalLearningLayer, kh.Convolution))
    },
    "competing": competing,
    "convolutions": convolutions,
    "dense": dense,
    "positions": positions,
    "sequential_map": sequential_map,
}
# LiteRT has no random numbers; TensorFlow 2.21 cannot read the `top_k` that
# JAX 0.10 writes.
REFUSED = {
    ("tensorflow", "litert"): {"positions"},
    ("jax", "tf_saved_model"): {
        "Convolution",
        "HebbianCompetitive",
        "competing",
        "positions",
    },
}


def export(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converters
        kh.export_learner(*args, **kwargs)


def weights_of(model):
    """The weights, under the names that a learner uses."""
    return {
        "_".join(weight.path.split("/")[-2:]): ops.convert_to_numpy(weight)
        for weight in model.variables
        if weight.name != "rate_factors"
    }


def batches_for(model):
    rng = np.random.default_rng(5)
    shape = (STEPS, BATCH, *model.input_shape[1:])
    batches = rng.normal(size=shape).astype("float32")
    first = model.layers[0]
    layer = getattr(first, "layer", first)
    signed = not getattr(layer, "non_negative_inputs", False)
    return batches if signed else np.abs(batches)


@pytest.fixture(scope="module", params=FORMATS)
def exported(request, tmp_path_factory):
    """Learners of a format, in a folder, and what the live models learned."""
    pytest.importorskip("tensorflow")
    folder, live = tmp_path_factory.mktemp("learners"), {}
    for name in set(MODELS) - REFUSED.get((BACKEND, request.param), set()):
        keras.utils.set_random_seed(7)
        model = MODELS[name]()
        batches = batches_for(model)
        (folder / name).mkdir()
        np.save(folder / name / "batches.npy", batches)
        path = folder / name / request.param
        export(model, path, BATCH, format=request.param)
        fit(model, batches)
        outputs = ops.convert_to_numpy(model(batches[0]))
        live[name] = weights_of(model), outputs
    return request.param, folder, live


def fit(model, batches):
    images = batches.reshape(-1, *batches.shape[2:])
    model.compile()
    model.fit(images, batch_size=BATCH, shuffle=False, verbose=0)


def run(folder, format, part):
    process = subprocess.run(
        [sys.executable, RUNTIME, folder, format, part],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_learners_learn_as_live_models_do_and_go_on_elsewhere(exported):
    format, folder, live = exported
    run(folder, format, "first")
    for name, (weights, outputs) in live.items():
        end = dict(np.load(folder / name / "end.npz"))
        assert set(end) == set(weights)
        for weight, value in weights.items():
            np.testing.assert_allclose(
                end[weight], value, rtol=1e-5, atol=1e-5, err_msg=name
            )
        np.testing.assert_allclose(
            np.load(folder / name / "outputs.npy"),
            outputs,
            rtol=1e-5,
            atol=1e-5,
        )
    run(folder, format, "second")


def builtins_of(path):
    """The codes of the operations in a LiteRT file, and its custom ones."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    custom = {code.customCode for code in model.operatorCodes} - {None}
    return {code.builtinCode for code in model.operatorCodes}, custom


@pytest.mark.slow
def test_litert_files_hold_only_built_in_operations(exported):
    format, folder, live = exported
    if format != "litert":
        pytest.skip("a format that has no such thing")
    for name in live:
        codes, custom = builtins_of(folder / name / format)
        assert len(codes) > 10
        assert not custom, name  # Flex operations are custom ones


def small(units=UNITS):
    """A model of one layer that every format takes."""
    layer = kh.SoftHebb(units, name="units")
    return kh.HebbianSequential([keras.Input((UNITS,)), layer], name="model")


@every_format
def test_each_weight_is_stored_once(tmp_path, format):
    layer = kh.SoftHebb(400)
    model = kh.HebbianSequential([keras.Input((500,)), layer])
    size = layer.kernel.shape[0] * layer.kernel.shape[1] * 4
    path = tmp_path / "learner"
    export(model, path, BATCH, format=format)
    files = [path, *path.rglob("*")]
    written = sum(x.stat().st_size for x in files if x.is_file())
    assert size < written < 1.5 * size


@pytest.mark.skipif(BACKEND == "torch", reason="exports nothing")
def test_a_saved_model_in_tensorflow(tmp_path):
    """Batches of any size, rates, and the folder it is saved to again."""
    tf = pytest.importorskip("tensorflow")
    model = small()
    before = [ops.convert_to_numpy(weight) for weight in model.variables]
    export(model, tmp_path / "learner")
    batches = batches_for(model)
    learner = tf.saved_model.load(str(tmp_path / "learner"))
    for size in (1, 3, BATCH):
        counters = learner.learn(batches[0, :size])
        outputs = learner.infer(batches[0, :size])["outputs"]
        assert outputs.shape == (size, UNITS)
    assert {k: int(v) for k, v in counters.items()} == {
        "learned": 3,
        "skipped": 0,
    }
    for weight, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), value)

    kernel = learner.get_weights()["units_kernel"].numpy()
    rates = {"learning_rate": np.float32(0), "temperature": np.float32(1)}
    learner.set_rates(**rates)
    learner.learn(batches[1])
    learned = learner.get_weights()
    np.testing.assert_array_equal(learned["units_kernel"], kernel)
    assert int(learned["units_iterations"]) == 4

    tf.saved_model.save(learner, str(tmp_path / "later"))
    later = tf.saved_model.load(str(tmp_path / "later"))
    learner.reset()
    np.testing.assert_array_equal(
        learner.get_weights()["units_kernel"], before[0]
    )
    later.set_rates(**{**rates, "learning_rate": np.float32(0.1)})
    later.learn(batches[2])
    assert np.abs(later.get_weights()["units_kernel"] - kernel).max() > 0
    later.reset()
    np.testing.assert_array_equal(later.get_weights()["units_kernel"], kernel)


@pytest.mark.skipif(BACKEND == "torch", reason="exports nothing")
def test_names_of_a_model_with_several_layers_and_outputs(tmp_path):
    tf = pytest.importorskip("tensorflow")
    inputs = keras.Input((UNITS,))
    one = kh.SoftHebb(3, name="1-a")(inputs)
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 90)
    layer = kh.LateralInhibitionSparse(2, learning_rate=schedule, name="b")
    frozen = kh.SoftHebb(2, name="c", trainable=False)(inputs)
    readout = keras.layers.Dense(2, name="d")
    outputs = [layer(keras.ops.abs(one)), readout(one), frozen]
    model = kh.HebbianModel(inputs, outputs)
    export(model, tmp_path / "learner")
    learner = tf.saved_model.load(str(tmp_path / "learner"))
    batch = np.ones((5, UNITS), "float32")
    assert set(learner.infer(batch)) == {"b", "d", "c"}
    before = learner.get_weights()
    counters = learner.learn(batch)
    assert {k: int(v) for k, v in counters.items()} == {
        "layer_1_a_learned": 1,
        "layer_1_a_skipped": 0,
        "b_learned": 1,
        "b_skipped": 0,
    }
    taken = learner.signatures["set_rates"].structured_input_signature[1]
    assert set(taken) == {
        "layer_1_a_learning_rate",
        "layer_1_a_temperature",
        "b_threshold_rate",
        "b_inhibition_rate",
    }
    after = learner.get_weights()
    moved = {x for x in after if np.any(after[x] != before[x])}
    assert not {x for x in moved if x.startswith(("c_", "d_"))}
    assert {"layer_1_a_kernel", "b_kernel", "b_iterations"} <= moved


@pytest.mark.skipif(BACKEND == "torch", reason="exports nothing")
def test_an_export_during_a_decay_learns_at_the_given_rate(tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = small()
    model.layers[0].decay_rates({"learning_rate": 0.0})
    export(model, tmp_path / "learner")
    learner = tf.saved_model.load(str(tmp_path / "learner"))
    before = learner.get_weights()["units_kernel"]
    learner.learn(batches_for(model)[0])
    assert np.abs(learner.get_weights()["units_kernel"] - before).max() > 0


def two_inputs():
    inputs = [keras.Input((3,)), keras.Input((3,))]
    merged = keras.layers.Concatenate()(inputs)
    return kh.HebbianModel(inputs, kh.SoftHebb(4)(merged))


def with_loss():
    model = small()
    model.compile(loss="mse")
    return model


def frozen():
    model = small()
    model.layers[0].trainable = False
    return model


class Subclassed(kh.HebbianModel):
    def __init__(self):
        super().__init__()
        self.units = kh.SoftHebb(4)

    def call(self, inputs):
        return self.units(inputs)


def subclassed():
    model = Subclassed()
    model(np.ones((2, 3), "float32"))
    return model


BAD_MODELS = {
    "no model": (lambda: kh.SoftHebb(4), "a model that has been built"),
    "unbuilt": (
        lambda: kh.HebbianSequential([kh.SoftHebb(4)]),
        "a model that has been built",
    ),
    "two inputs": (two_inputs, "one input"),
    "subclassed": (subclassed, "one input"),
    "with a loss": (with_loss, "without a loss"),
    "frozen": (frozen, "a local layer"),
    "no local layer": (
        lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]),
        "a local layer",
    ),
}


@pytest.mark.skipif(BACKEND == "torch", reason="exports nothing")
@pytest.mark.parametrize("name", BAD_MODELS)
def test_models_that_cannot_learn_on_are_refused(tmp_path, name):
    make, message = BAD_MODELS[name]
    with pytest.raises(ValueError, match=f"Expected .*{message}.* Received"):
        kh.export_learner(make(), tmp_path / "learner")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("format", ["onnx", None, "SavedModel"])
def test_unknown_formats_are_refused(tmp_path, format):
    with pytest.raises(ValueError, match=r"Expected `format`.* Received"):
        kh.export_learner(small(), tmp_path / "learner", format=format)


REFUSED_BACKENDS = {
    "tensorflow": [],
    "jax": ["litert"],
    "torch": ["tf_saved_model", "litert"],
}


@pytest.mark.parametrize("format", REFUSED_BACKENDS[BACKEND])
def test_a_backend_that_cannot_write_a_format_says_so(tmp_path, format):
    with pytest.raises(ValueError, match=r"Expected the backend .*\.keras"):
        kh.export_learner(small(), tmp_path / "learner", 8, format)
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(BACKEND == "torch", reason="exports nothing")
@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "all", True])
def test_bad_batch_sizes_are_refused(tmp_path, batch_size):
    with pytest.raises(ValueError, match=r"Expected `batch_size`.* Received"):
        kh.export_learner(small(), tmp_path / "learner", batch_size)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="no LiteRT")
def test_litert_needs_a_batch_size_and_sizes_of_images(tmp_path):
    with pytest.raises(ValueError, match="Expected `batch_size`"):
        kh.export_learner(small(), tmp_path / "a", format="litert")
    layer = kh.Convolution(kh.SoftHebb(3), 2)
    model = kh.HebbianSequential([keras.Input((None, 6, 2)), layer])
    with pytest.raises(ValueError, match="inputs of a known shape"):
        kh.export_learner(model, tmp_path / "a", 8, format="litert")


@every_format
def test_layers_that_cannot_be_converted_are_named(tmp_path, format):
    refused = sorted(REFUSED.get((BACKEND, format), ()))
    if not refused:
        pytest.skip("all can be")
    model = MODELS[refused[-1]]()
    with pytest.raises(ValueError, match=r"Expected layers .* Received: "):
        export(model, tmp_path / "learner", BATCH, format=format)
    assert not [*tmp_path.iterdir()]


def contents(folder):
    return {x.name: x.read_bytes() for x in folder.rglob("*") if x.is_file()}


@every_format
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, format):
    model = small(60)
    expected = "Expected the folder of `path` to exist.*nowhere/x"
    with pytest.raises(FileNotFoundError, match=expected):
        export(model, tmp_path / "nowhere" / "x", BATCH, format=format)
    assert not [*tmp_path.iterdir()]
    other = tmp_path / "other"
    if format == "litert":
        other.mkdir()
        (other / "notes").write_text("kept")
    else:
        other.write_text("kept")
    with pytest.raises(FileExistsError, match="Expected `path` to be free"):
        export(model, other, BATCH, format=format)
    path = tmp_path / "learner"
    export(model, path, BATCH, format=format)
    export(model, path, BATCH, format=format)  # takes the place of the first
    before = contents(tmp_path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limit[1]))
    try:  # a disk that is full half-way
        with pytest.raises(Exception, match=r"(?i)too large|write"):
            export(model, path, BATCH, format=format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert contents(tmp_path) == before


@pytest.mark.skipif(BACKEND != "tensorflow", reason="no LiteRT")
def test_a_file_of_something_else_is_not_replaced(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="Expected `path` to be free"):
        kh.export_learner(small(), path, BATCH, format="litert")
    assert path.read_text() == "precious"


@pytest.mark.skipif(BACKEND == "torch", reason="exports nothing")
def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "notes").write_text("kept")
    with pytest.raises(FileExistsError, match="Expected `path` to be free"):
        kh.export_learner(small(), tmp_path)
    assert contents(tmp_path) == {"notes": b"kept"}


@pytest.mark.skipif(BACKEND != "tensorflow", reason="no LiteRT")
@pytest.mark.parametrize("dtype", ["uint8", "int8", "float16"])
def test_litert_takes_pixels_as_a_camera_gives_them(tmp_path, dtype):
    pytest.importorskip("ai_edge_litert")
    from learner_runtime import LiteRT

    pixels = [
        keras.Input((UNITS,), dtype=dtype),
        keras.layers.Rescaling(1 / 99),
    ]
    model = kh.HebbianSequential([*pixels, kh.HebbianCompetitive(4)])
    model.compile()
    path = tmp_path / "learner.tflite"
    kh.export_learner(model, path, BATCH, format="litert")
    images = np.random.default_rng(0).integers(0, 99, (BATCH, UNITS))
    images = images.astype(dtype)
    learner = LiteRT(path)
    learner("reset")
    learner("learn", inputs=images)
    model.train_on_batch(images)
    np.testing.assert_allclose(
        learner("infer", inputs=images)["outputs"],
        model.predict(images, verbose=0),
        rtol=1e-4,
    )


@pytest.mark.skipif(BACKEND != "jax", reason="needs TensorFlow, or cannot")
def test_without_tensorflow_the_error_names_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="Expected tensorflow"):
        kh.export_learner(small(), tmp_path / "learner")
