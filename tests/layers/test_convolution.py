import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

import keras_hebbian as kh
import oracles
from keras_hebbian.callbacks import weight_visualization
from oja import Oja


def images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def numpy_of(tensor):
    return ops.convert_to_numpy(ops.stop_gradient(tensor)).copy()


def kernel_of(layer):
    return numpy_of(layer.kernel)


def state_of(layer):
    return [numpy_of(weight) for weight in layer.weights]


def built(layer, shape, **arguments):
    """A wrapper built for images of a shape."""
    wrapper = kh.Convolution(layer, **{"kernel_size": 3, **arguments})
    wrapper.build((None, *shape))
    return wrapper


def twin(layer):
    """A layer of the same configuration and weights."""
    copy = type(layer).from_config(layer.get_config())
    copy.build((None, layer.input_spec.axes[-1]))
    copy.set_weights(layer.get_weights())
    return copy


SOFT = {"temperature": 2.5, "learning_rate": 0.08, "radius": 6.0}
COMPETING = {"p": 3, "k": 2, "delta": 0.4, "learning_rate": 0.02}
RULES = {
    "competing": (
        lambda: kh.HebbianCompetitive(8, **COMPETING),
        lambda *args: oracles.competing_units(*args, p=3, k=2, delta=0.4),
    ),
    "soft": (
        lambda: kh.SoftHebb(8, **SOFT),
        lambda *args: oracles.soft_competition(*args, 2.5, 0.5, True),
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("padding", ["valid", "same", "reflect"])
def test_fit_is_the_loop_of_the_paper_on_patches(float64, rule, padding):
    make, oracle = RULES[rule]
    layer = make()
    data = np.random.default_rng(0).random((200, 4, 5, 2))
    size, strides = (3, 2), (1, 2)
    wrapper = kh.Convolution(layer, size, strides, padding)
    model = kh.HebbianSequential([keras.Input((4, 5, 2)), wrapper])
    synapses = kernel_of(layer).T
    patches = oracles.patches(data, size, strides, padding)
    patches = patches.reshape(100, -1, synapses.shape[1])
    expected = oracle(
        synapses, [(float(layer.learning_rate), x) for x in patches]
    )

    model.compile()
    model.fit(data, batch_size=2, shuffle=False, verbose=0)
    assert int(layer.iterations) == 100
    assert np.abs(expected - synapses).max() > 0.5
    np.testing.assert_allclose(kernel_of(layer).T, expected, rtol=0, atol=1e-9)


GEOMETRIES = [
    ((9,), 3, 1, "valid"),
    ((9,), (4,), 2, "same"),
    ((9,), (4,), (3,), "reflect"),
    ((7, 8), 3, 1, "valid"),
    ((7, 8), (2, 3), (2, 1), "same"),
    ((7, 8), (4, 3), 2, "same"),
    ((7, 8), (4, 3), (2, 3), "reflect"),
    ((7, 8), 5, 1, "reflect"),
    ((2, 8), 4, 2, "reflect"),
    ((4, 5, 6), 3, 1, "valid"),
    ((4, 5, 6), (2, 3, 4), (1, 2, 3), "same"),
    ((4, 5, 6), (2, 3, 4), 2, "reflect"),
    ((7, 8), 1, 3, "same"),  # strides longer than the patch
    ((5, 9), (1, 2), (3, 4), "reflect"),
]
every_geometry = pytest.mark.parametrize(
    ("size", "kernel_size", "strides", "padding"), GEOMETRIES
)


def each(sizes, count):
    return sizes if isinstance(sizes, tuple) else (sizes,) * count


@every_geometry
def test_outputs_are_those_of_all_patches(size, kernel_size, strides, padding):
    data = images(2, *size, 3)
    layer = kh.HebbianCompetitive(5)
    wrapper = built(
        layer,
        data.shape[1:],
        kernel_size=kernel_size,
        strides=strides,
        padding=padding,
    )
    patches = oracles.patches(
        data, each(kernel_size, len(size)), each(strides, len(size)), padding
    )
    expected = patches @ kernel_of(layer)
    assert wrapper.compute_output_shape(data.shape) == expected.shape
    np.testing.assert_allclose(
        numpy_of(wrapper(data)), expected, rtol=1e-4, atol=1e-5
    )
    seen = []
    with layer.observed(lambda inputs: seen.append(numpy_of(inputs))):
        np.testing.assert_allclose(
            numpy_of(wrapper(data)), expected, rtol=1e-4, atol=1e-5
        )
    np.testing.assert_array_equal(seen[0], patches)
    np.testing.assert_allclose(
        numpy_of(wrapper(data, training=True)), expected, rtol=1e-4, atol=1e-5
    )


STOCK = [keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D]


@pytest.mark.parametrize(
    ("size", "kernel_size", "strides", "padding"),
    [each for each in GEOMETRIES if each[-1] != "reflect"],
)
def test_its_kernel_is_that_of_a_stock_convolution(
    size, kernel_size, strides, padding
):
    data = images(2, *size, 3)
    given = {
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": padding,
    }
    layer = kh.SoftHebb(5, activation="relu")
    wrapper = built(layer, data.shape[1:], **given)
    stock = STOCK[len(size) - 1](5, **given, activation="relu", use_bias=False)
    stock.build(data.shape)
    stock.set_weights([kernel_of(layer).reshape(stock.kernel.shape)])
    np.testing.assert_allclose(
        numpy_of(wrapper(data)), numpy_of(stock(data)), rtol=1e-4, atol=1e-4
    )


LAYERS = {
    "competing": lambda: kh.HebbianCompetitive(6, p=2),
    "p3": lambda: kh.HebbianCompetitive(6, p=3),
    "soft": lambda: kh.SoftHebb(6),
    # Without a norm, with which untrained units are all active.
    "sparse": lambda: kh.LateralInhibitionSparse(
        6, sparsity=0.1, norm=None, learning_rate=0.01, threshold_rate=1.0
    ),
    "oja": lambda: Oja(6),
    "pca": lambda: kh.HebbianPCA(6, center=True),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)


@every_layer
@pytest.mark.parametrize("how", ["call", "update_state"])
def test_learns_as_the_layer_does_from_patches(kind, how):
    data = images(4, 6, 7, 2)
    layer = LAYERS[kind]()
    wrapper = built(layer, data.shape[1:], strides=2)
    dense = twin(layer)
    patches = oracles.patches(data, (3, 3), (2, 2))
    expected = numpy_of(dense(patches, training=True))
    if how == "call":
        outputs = wrapper(data, training=True)
        np.testing.assert_allclose(
            numpy_of(outputs), expected, rtol=1e-5, atol=1e-6
        )
    else:
        wrapper.update_state(data)
    for mine, its in zip(state_of(layer), state_of(dense), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-7)
    assert int(layer.iterations) == 1


class Kept(kh.HebbianCompetitive):
    """Keeps the samples that it learns from."""

    def learn(self, inputs, response, state, rates):
        self.kept = numpy_of(inputs)
        return super().learn(inputs, response, state, rates)


@pytest.mark.parametrize(
    ("size", "kernel_size", "strides", "padding"), GEOMETRIES[1::3]
)
def test_positions_are_drawn_without_replacement(
    size, kernel_size, strides, padding
):
    data = images(5, *size, 2)
    layer = Kept(4)
    wrapper = built(
        layer,
        data.shape[1:],
        kernel_size=kernel_size,
        strides=strides,
        padding=padding,
        positions=2,
    )
    patches = oracles.patches(
        data, each(kernel_size, len(size)), each(strides, len(size)), padding
    ).reshape(5, -1, layer.input_spec.axes[-1])
    places = []
    for _ in range(3):
        wrapper(data, training=True)
        drawn = layer.kept.reshape(5, 2, -1)
        same = (drawn[:, :, None] == patches[:, None]).all(axis=-1)
        np.testing.assert_array_equal(same.sum(axis=-1), 1)
        chosen = same.argmax(axis=-1)  # (images, positions)
        assert (chosen[:, 0] != chosen[:, 1]).all()
        places.append(np.sort(chosen, axis=-1))
    assert np.ptp(places, axis=0).max() > 0  # over steps
    assert np.ptp(places, axis=1).max() > 0  # over images


def test_all_positions_are_all_patches():
    data = images(3, 6, 6, 2)
    layer = Kept(4)
    wrapper = built(layer, data.shape[1:], positions=16)
    wrapper(data, training=True)
    expected = oracles.patches(data, (3, 3), (1, 1)).reshape(3, 16, -1)
    drawn = layer.kept.reshape(3, 16, -1)
    np.testing.assert_array_equal(
        np.sort(drawn, axis=1), np.sort(expected, axis=1)
    )


def test_every_position_is_drawn_equally_often():
    wrapper = built(Kept(4), (6, 1), kernel_size=1, positions=2)
    data = np.tile(np.arange(6, dtype="float32")[:, None], (400, 1, 1))
    wrapper(data, training=True)
    counts = np.bincount(wrapper.layer.kept.ravel().astype(int))
    # 400 * 2 / 6 = 133.3 of each; the deviation of such a count is 9.4.
    assert np.abs(counts - 400 / 3).max() < 40


def test_all_of_many_positions_are_drawn():
    wrapper = built(Kept(4), (256, 1), kernel_size=1, positions=8)
    data = np.tile(np.arange(256, dtype="float32")[:, None], (400, 1, 1))
    wrapper(data, training=True)
    # Each of 256 is missing with a probability of exp(-400 * 8 / 256).
    np.testing.assert_array_equal(np.unique(wrapper.layer.kept), np.arange(256))


@pytest.mark.parametrize("padding", ["valid", "same", "reflect"])
def test_an_image_may_be_as_large_as_a_patch(padding):
    layer = kh.SoftHebb(4)
    wrapper = built(layer, (3, 3, 2), kernel_size=3, padding=padding)
    data = images(5, 3, 3, 2)
    patches = oracles.patches(data, (3, 3), (1, 1), padding)
    np.testing.assert_allclose(
        numpy_of(wrapper(data)), numpy_of(layer(patches)), rtol=1e-4, atol=1e-5
    )


def test_draws_can_be_repeated():
    def learned(seed=None):
        keras.utils.set_random_seed(3)
        layer = kh.SoftHebb(4)
        wrapper = kh.Convolution(layer, 3, positions=2, seed=seed)
        model = kh.HebbianSequential([keras.Input((6, 6, 1)), wrapper])
        model.compile()
        model.fit(images(20, 6, 6, 1), batch_size=5, verbose=0)
        return kernel_of(layer)

    np.testing.assert_array_equal(learned(), learned())
    np.testing.assert_array_equal(learned(seed=5), learned(seed=5))
    assert np.abs(learned(seed=5) - learned(seed=6)).max() > 0


@every_layer
@pytest.mark.parametrize("positions", [None, 3])
def test_outputs_are_those_of_before_the_step(kind, positions):
    data = images(4, 6, 6, 1)
    wrapper = built(LAYERS[kind](), data.shape[1:], positions=positions)
    before = numpy_of(wrapper(data))
    during = numpy_of(wrapper(data, training=True))
    np.testing.assert_allclose(during, before, rtol=1e-5, atol=1e-5)
    assert np.abs(numpy_of(wrapper(data)) - before).max() > 1e-5


@pytest.mark.parametrize("kind", ["competing", "sparse"])
@pytest.mark.parametrize("positions", [None, 3])
def test_gradients_pass_to_the_layers_below(kind, positions):
    """The layers below learn as below a frozen layer."""
    data, labels = images(8, 6, 6, 1), images(8, 3)
    layer = LAYERS[kind]()
    layer.kernel_initializer = keras.initializers.RandomUniform(0.0, 0.1)
    wrapper = built(layer, (6, 6, 4), positions=positions)
    frozen = built(twin(wrapper.layer), (6, 6, 4))
    frozen.trainable = False
    weights = [images(1, 1, 1, 4), images(4)]
    top = [images(6, 3) - 0.5, images(3)]

    def trained(middle):
        below = keras.layers.Conv2D(4, 1, activation="tanh")
        readout = keras.layers.Dense(3)
        pool = keras.layers.GlobalAveragePooling2D()
        model = keras.Sequential(
            [keras.Input((6, 6, 1)), below, middle, pool, readout]
        )
        below.set_weights(weights)
        readout.set_weights(top)
        model.compile(keras.optimizers.SGD(0.1), loss="mse")
        model.fit(data, labels, batch_size=8, verbose=0)
        return [*below.get_weights(), *readout.get_weights()]

    before = kernel_of(wrapper.layer)
    mine, stock = trained(wrapper), trained(frozen)
    assert np.abs(mine[0] - weights[0]).max() > 1e-4
    for value, expected in zip(mine, stock, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(kernel_of(wrapper.layer) - before).max() > 0
    np.testing.assert_array_equal(kernel_of(frozen.layer), before)


@pytest.mark.parametrize("frozen", ["wrapper", "layer", "argument"])
@pytest.mark.parametrize("positions", [None, 3])
def test_a_frozen_layer_does_not_learn(frozen, positions):
    given = {"trainable": False} if frozen == "argument" else {}
    wrapper = built(kh.SoftHebb(4), (6, 6, 1), positions=positions, **given)
    if frozen != "argument":
        (wrapper if frozen == "wrapper" else wrapper.layer).trainable = False
    before = state_of(wrapper)
    wrapper(images(3, 6, 6, 1), training=True)
    wrapper.update_state(images(3, 6, 6, 1))
    for mine, its in zip(state_of(wrapper), before, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.filterwarnings("ignore:Nothing learns")
def test_wrapper_and_layer_learn_or_do_not_together():
    model = kh.HebbianSequential(
        [keras.Input((6, 6, 1)), kh.Convolution(kh.SoftHebb(4), 3)]
    )
    model.compile()
    (wrapper,) = model.layers
    data, learned = images(3, 6, 6, 1), []
    wrapper.trainable = False
    for switched in (wrapper.layer, wrapper, wrapper.layer):
        switched.trainable = not switched.trainable
        assert wrapper.trainable == wrapper.layer.trainable
        model.fit(data, verbose=0)
        learned.append(int(wrapper.layer.iterations))
    assert learned == [1, 1, 2]
    copied = kh.Convolution.from_config(
        built(kh.SoftHebb(4), (6, 6, 1), trainable=False).get_config()
    )
    assert not copied.trainable


@pytest.mark.parametrize("kind", ["competing", "soft", "sparse"])
def test_a_batch_that_is_not_finite_is_skipped(kind):
    layer = LAYERS[kind]()
    model = kh.HebbianSequential(
        [keras.Input((6, 6, 1)), kh.Convolution(layer, 3)]
    )
    model.compile()
    data = images(12, 6, 6, 1)
    data[5, 2, 3, 0] = np.nan
    with pytest.raises(ValueError, match="Expected finite"):
        model.fit(data, verbose=0)
    batches = ((data[start : start + 4],) for start in (0, 4, 8))
    with pytest.warns(UserWarning, match=r"1 batch"):
        model.fit(batches, steps_per_epoch=3, shuffle=False, verbose=0)
    assert (int(layer.iterations), int(layer.skipped)) == (2, 1)
    assert np.isfinite(kernel_of(layer)).all()


def stack():
    return [
        kh.Convolution(kh.SoftHebb(4, name="low"), 3, padding="reflect"),
        keras.layers.BatchNormalization(center=False, scale=False),
        kh.Triangle(0.7),
        keras.layers.MaxPooling2D(2),
        kh.Convolution(kh.HebbianCompetitive(5, name="high"), 2, positions=3),
        kh.Triangle(),
        keras.layers.Flatten(),
    ]


def test_layers_above_one_another_learn_without_a_loss(digits, digit_labels):
    data, labels = digits[:60].reshape(-1, 8, 8, 1), digit_labels[:60]
    model = kh.HebbianSequential([keras.Input((8, 8, 1)), *stack()])
    model.compile()
    history = model.fit(
        data,
        epochs=2,
        callbacks=[
            kh.LinearRateDecay(),
            kh.LearningMonitor((data, labels), probe=True),
        ],
        verbose=0,
    ).history
    for name in ("low", "high"):
        rates = history[f"{name}_local_learning_rate"]
        assert rates[1] == pytest.approx(rates[0] / 2)
        for measure in ("norm_distance", "change", "dead", "winner_accuracy"):
            assert np.isfinite(history[f"{name}_{measure}"]).all()
        assert 0 <= history[f"{name}_probe_accuracy"][-1] <= 1
    assert history["high_change"][-1] > 0


@pytest.mark.parametrize("wrap", ["sequential", "functional"])
def test_learns_in_a_model_with_a_loss(wrap):
    layers = [*stack(), keras.layers.Dense(3, activation="softmax")]
    if wrap == "sequential":
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    else:
        inputs = outputs = keras.Input((8, 8, 1))
        for layer in layers:
            outputs = layer(outputs)
        model = keras.Model(inputs, outputs)
    model.compile("adam", loss="sparse_categorical_crossentropy")
    learners = [x.layer for x in layers if isinstance(x, kh.Convolution)]
    kernels = [*learners, layers[-1]]
    before = [kernel_of(layer) for layer in kernels]
    model.fit(images(24, 8, 8, 1), np.arange(24) % 3, verbose=0)
    assert [int(layer.iterations) for layer in learners] == [1, 1]
    for layer, kernel in zip(kernels, before, strict=True):
        assert np.abs(kernel_of(layer) - kernel).max() > 0


def test_files_and_copies_keep_everything(tmp_path):
    model = kh.HebbianSequential([keras.Input((8, 8, 1)), *stack()])
    model.compile()
    data = images(24, 8, 8, 1)
    model.fit(data, verbose=0)
    model.layers[0].layer.learning_rate = 0.125
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for copy in (loaded, clone):
        np.testing.assert_array_equal(
            copy.predict(data, verbose=0), model.predict(data, verbose=0)
        )
        first = copy.layers[0]
        given, expected = first.get_config(), model.layers[0].get_config()
        assert {**given, "layer": 0} == {**expected, "layer": 0}
        assert first.layer.get_config() == model.layers[0].layer.get_config()
        assert tuple(first.layer.kernel_image_shape) == (3, 3, 1)
        assert float(first.layer.learning_rate) == 0.125
        assert first.layer is not model.layers[0].layer
    loaded.compile()
    loaded.fit(data, verbose=0)
    assert int(loaded.layers[0].layer.iterations) == 2


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_it_has_the_policy_of_its_layer(policy):
    layer = kh.SoftHebb(4, dtype=policy)
    wrapper = built(layer, (6, 6, 1), padding="reflect")
    assert wrapper.dtype_policy.name == policy
    narrow = policy.removeprefix("mixed_")
    for training in (False, True):
        outputs = wrapper(images(2, 6, 6, 1), training=training)
        assert keras.backend.standardize_dtype(outputs.dtype) == narrow
    assert wrapper.layer.kernel.dtype == wrapper.layer.state_dtype


def test_integers_are_cast():
    data = (images(2, 6, 6, 1) * 255).astype("uint8")
    wrapper = built(kh.SoftHebb(4), (6, 6, 1))
    other = built(twin(wrapper.layer), (6, 6, 1))
    for training in (False, True, False):
        np.testing.assert_allclose(
            numpy_of(wrapper(data, training=training)),
            numpy_of(other(data.astype("float32"), training=training)),
            rtol=1e-5,
        )


@pytest.mark.parametrize("padding", ["valid", "same", "reflect"])
@pytest.mark.parametrize("positions", [None, 2])
@pytest.mark.parametrize("kind", ["soft", "sparse"])
def test_images_may_have_any_size(padding, positions, kind):
    layer = LAYERS[kind]()
    wrapper = kh.Convolution(
        layer, (2, 3), strides=2, padding=padding, positions=positions
    )
    inputs = keras.Input((None, None, 1))
    outputs = wrapper(inputs)
    assert outputs.shape == (None, None, None, 6)
    model = kh.HebbianModel(inputs, outputs)
    model.compile()
    for size in ((6, 6), (7, 4)):
        data = images(4, *size, 1)
        patches = oracles.patches(data, (2, 3), (2, 2), padding)
        expected = numpy_of(layer(patches))
        np.testing.assert_allclose(
            model.predict(data, verbose=0), expected, rtol=1e-4, atol=1e-5
        )
        model.fit(data, verbose=0)
    assert int(layer.iterations) == 2


@pytest.mark.parametrize("kind", ["competing", "soft", "sparse"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kernel_size": 5}, "images at least as large as a patch"),
        ({"kernel_size": 2, "positions": 10}, "`positions` <= 9"),
    ],
)
def test_images_of_any_size_are_checked_when_they_are_seen(
    kind, given, message
):
    layer = LAYERS[kind]()
    inputs = keras.Input((None, None, 1))
    model = kh.HebbianModel(inputs, kh.Convolution(layer, **given)(inputs))
    model.compile()
    with refused(message):
        model.fit(images(8, 4, 4, 1), verbose=0)
    with refused(message):
        model.layers[1].update_state(images(8, 4, 4, 1))
    assert int(layer.iterations) == 0


def test_learning_before_being_built_is_refused():
    with refused("convolution to be built"):
        wrapper = kh.Convolution(kh.SoftHebb(3), 2, name="convolution")
        wrapper.update_state(images(2, 4, 4, 1))


@pytest.mark.parametrize("way", ["model", "weights"])
def test_a_loaded_layer_goes_on_drawing_where_the_saved_one_was(way, tmp_path):
    def make():
        layer = kh.SoftHebb(4, learning_rate=0.1)
        wrapper = kh.Convolution(layer, 3, positions=2, seed=1)
        model = kh.HebbianSequential([keras.Input((6, 6, 1)), wrapper])
        model.compile()
        return model

    data = images(8, 6, 6, 1)
    model, loaded = make(), make()
    model.fit(data, shuffle=False, verbose=0)
    if way == "model":
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
    else:
        model.save_weights(tmp_path / "model.weights.h5")
        loaded.load_weights(tmp_path / "model.weights.h5")
    for each in (model, loaded):
        each.fit(data, shuffle=False, verbose=0)
    expected = model.get_weights()
    for mine, its in zip(loaded.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_file_from_before_states_were_saved_is_loaded(tmp_path, monkeypatch):
    wrapper = built(kh.SoftHebb(4), (6, 6, 1), positions=2, seed=1)
    model = kh.HebbianSequential([keras.Input((6, 6, 1)), wrapper])
    with monkeypatch.context() as patched:
        patched.delattr(kh.Convolution, "save_own_variables")
        model.save_weights(tmp_path / "model.weights.h5")
    other = built(kh.SoftHebb(4), (6, 6, 1), positions=2, seed=2)
    loaded = kh.HebbianSequential([keras.Input((6, 6, 1)), other])
    before = numpy_of(other.seed_generator.state)
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(
        kernel_of(other.layer), kernel_of(wrapper.layer)
    )
    np.testing.assert_array_equal(numpy_of(other.seed_generator.state), before)


def test_images_without_channels_bring_a_warning():
    wrapper = kh.Convolution(kh.SoftHebb(4), 3)
    with pytest.warns(UserWarning, match=r"images\[\.\.\., None\]"):
        wrapper(images(2, 6, 6))


@pytest.mark.parametrize(
    ("shape", "kernel_size"), [((6, 6), (3,)), ((6, 4), 3), ((None, 6), 3)]
)
def test_signals_bring_no_warning(shape, kernel_size):
    built(kh.SoftHebb(4), shape, kernel_size=kernel_size)


def test_shapes_of_images_raise_no_warning():
    wrapper = kh.Convolution(kh.SoftHebb(4), 3)
    wrapper(images(2, 6, 6, 3))  # a warning is an error here
    assert tuple(wrapper.layer.kernel_image_shape) == (3, 3, 3)
    assert kh.SoftHebb(4).kernel_image_shape is None


@pytest.mark.parametrize(
    ("shape", "kernel_size", "drawn"),
    [
        ((6, 6, 1), (2, 3), (2, 3)),
        ((6, 6, 3), (2, 3), (2, 3, 3)),
        ((6, 6, 4), (2, 3), (2, 3)),  # the mean over the channels
        ((6, 4), (2,), (2, 4)),
    ],
)
def test_pictures_of_kernels_have_the_shape_of_patches(
    shape, kernel_size, drawn, tmp_path, monkeypatch
):
    plotted = []

    def plot(kernel, image_shape, **others):
        plotted.append((np.array(kernel), image_shape))
        return kh.plotting.plot_weights(kernel, image_shape, **others)

    monkeypatch.setattr(weight_visualization, "plot_weights", plot)
    layer = kh.SoftHebb(5)
    model = kh.HebbianSequential(
        [keras.Input(shape), kh.Convolution(layer, kernel_size)]
    )
    model.compile()
    model.fit(
        images(8, *shape),
        callbacks=[kh.WeightVisualization(tmp_path)],
        verbose=0,
    )
    assert [x.name for x in tmp_path.iterdir()] == ["weights_00000001.png"]
    ((kernel, image_shape),) = plotted
    assert image_shape == drawn
    expected = kernel_of(layer)
    if shape[-1] == 4 and len(shape) == 3:
        expected = expected.reshape(6, 4, 5).mean(axis=1)
    np.testing.assert_allclose(kernel, expected, rtol=1e-5, atol=1e-6)


def test_a_map_responds_with_the_distances_of_patches():
    data, layer = images(4, 6, 6, 2), kh.SelfOrganizingMap((2, 3))
    outputs = numpy_of(kh.Convolution(layer, 3)(data))
    patches = oracles.patches(data, (3, 3), (1, 1))
    apart = patches[..., None] - numpy_of(layer.kernel)
    expected = -(apart**2).sum(axis=-2)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_patches_of_colour_are_drawn_in_colour(tmp_path):
    model = kh.HebbianSequential(
        [keras.Input((6, 6, 3)), kh.Convolution(kh.SoftHebb(4), 3)]
    )
    model.compile()
    pictures = kh.WeightVisualization(tmp_path)
    model.fit(images(8, 6, 6, 3), callbacks=[pictures], verbose=0)
    with Image.open(tmp_path / "weights_00000001.png") as picture:
        assert picture.mode == "RGB"


def test_kernels_of_volumes_make_no_picture(tmp_path):
    model = kh.HebbianSequential(
        [keras.Input((4, 4, 4, 1)), kh.Convolution(kh.SoftHebb(5), (1, 2, 2))]
    )
    model.compile()
    with refused("`image_shape`.*more than two axes"):
        model.fit(
            images(8, 4, 4, 4, 1),
            callbacks=[kh.WeightVisualization(tmp_path)],
            verbose=0,
        )


def refused(message):
    return pytest.raises(ValueError, match=rf"(?s)Expected {message}.*Received")


BAD_ARGUMENTS = [
    ({"kernel_size": 0}, "`kernel_size`"),
    ({"kernel_size": 2.5}, "`kernel_size`"),
    ({"kernel_size": (3, 0)}, "`kernel_size`"),
    ({"kernel_size": ()}, "`kernel_size`"),
    ({"kernel_size": (2, 2, 2, 2)}, "`kernel_size`"),
    ({"kernel_size": "3"}, "`kernel_size`"),
    ({"strides": 0}, "`strides`"),
    ({"strides": (1, -1)}, "`strides`"),
    ({"kernel_size": (3, 3), "strides": (1,)}, "`kernel_size` and `strides`"),
    ({"padding": "full"}, "`padding`"),
    ({"positions": 0}, "`positions`"),
    ({"positions": 1.5}, "`positions`"),
    ({"layer": keras.layers.Dense(3)}, "`layer` to be a `LocalLearningLayer`"),
    ({"layer": "soft"}, "`layer` to be a `LocalLearningLayer`"),
    (
        {"layer": kh.Convolution(kh.SoftHebb(3), 3)},
        "`layer` to be a `LocalLearningLayer`",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused(arguments, message):
    given = {"layer": kh.SoftHebb(3), "kernel_size": 3, **arguments}
    with refused(message):
        kh.Convolution(**given)


BAD_SHAPES = [
    ({}, (None, 5), "inputs .* rank 3 or 4 or 5"),
    ({}, (None, 5, 5, 5, 5, 1), "inputs .* rank 3 or 4 or 5"),
    ({"kernel_size": (3, 3)}, (None, 9, 1), "inputs .* rank 4"),
    ({"strides": (2,)}, (None, 9, 9, 1), "inputs .* rank 3"),
    ({}, (None, 9, 9, None), "inputs with a known number of channels"),
    ({}, (None, 9, 2, 1), "images at least as large as"),
    ({"padding": "reflect"}, (None, 9, 1, 1), "images at least as large as"),
    ({"positions": 10}, (None, 5, 5, 1), "`positions` <= 9"),
    (
        {"positions": 26, "padding": "same"},
        (None, 5, 5, 1),
        "`positions` <= 25",
    ),
]


@pytest.mark.parametrize(("arguments", "shape", "message"), BAD_SHAPES)
def test_bad_shapes_are_refused(arguments, shape, message):
    with refused(message):
        built(kh.SoftHebb(3), shape[1:], **arguments)


class Negated(kh.HebbianCompetitive):
    def call(self, inputs, training=None, mask=None):
        return -super().call(inputs, training=training)


@pytest.mark.parametrize(
    ("layer", "received"),
    [
        (Negated(3), "Negated"),
        (kh.SoftHebb(3, activity_regularizer="l2"), "activity_regularizer"),
    ],
)
def test_layers_that_it_would_not_call_are_refused(layer, received):
    with pytest.raises(ValueError, match=f"Expected .*Received: .*{received}"):
        kh.Convolution(layer, 3)


def test_layers_of_others_are_refused():
    layer = kh.SoftHebb(3)
    layer.build((None, 10))
    with refused("soft_hebb.* to be built for patches of 9 inputs"):
        built(layer, (6, 6, 1))
    fits = twin(built(kh.SoftHebb(3), (6, 6, 1)).layer)
    built(fits, (6, 6, 1))
    with refused("a separate layer for convolution"):
        built(fits, (6, 6, 1))


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with refused("images with their channels last"):
            built(kh.SoftHebb(3), (1, 6, 6))
    finally:
        keras.config.set_image_data_format("channels_last")


def test_other_inputs_are_refused():
    wrapper = built(kh.SoftHebb(3), (6, 6, 1))
    for data in (images(2, 6, 6, 2), images(2, 6, 1)):
        with pytest.raises(ValueError, match="incompatible"):
            wrapper(data, training=True)
    assert int(wrapper.layer.iterations) == 0


@pytest.mark.parametrize(
    ("own", "its"),
    [("mixed_bfloat16", "float32"), ("float32", "mixed_bfloat16")],
)
def test_a_wrapper_may_have_a_policy_of_its_own(own, its):
    wrapper = kh.Convolution(kh.SoftHebb(4, dtype=its), 3, dtype=own)
    outputs = wrapper(images(2, 6, 6, 1), training=True)
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    assert dtype == own.removeprefix("mixed_")
    assert int(wrapper.layer.iterations) == 1


@pytest.mark.filterwarnings("ignore:.*mask:UserWarning")
def test_masked_steps_are_refused_in_training():
    model = kh.HebbianSequential(
        [
            keras.Input((6, 3)),
            keras.layers.Masking(),
            kh.Convolution(kh.HebbianCompetitive(4), 2),
        ]
    )
    model.compile()
    with pytest.raises(ValueError, match="without a mask"):
        model.fit(np.ones((4, 6, 3), "float32"), verbose=0)


def test_an_image_without_an_axis_for_the_batch_is_refused():
    layer = kh.Convolution(kh.HebbianCompetitive(4), 3)
    layer.build((None, 8, 8, 1))
    with pytest.raises(ValueError, match=r"Expected inputs `\(batch"):
        layer.update_state(np.ones((8, 8, 1), "float32"))
