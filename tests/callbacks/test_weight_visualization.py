import errno
import importlib
import pathlib
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image

import keras_hebbian as kh
from keras_hebbian.callbacks import _pictures

IMAGES = np.random.default_rng(0).random((60, 9), dtype="float32")
ON_TORCH = keras.backend.backend() == "torch"


def model_with(*layers, kind=kh.HebbianSequential, **arguments):
    layers = layers or [kh.HebbianCompetitive(4, name="units")]
    model = kind([keras.Input((9,)), *layers])
    model.compile(**arguments)
    return model


def fit(model, *callbacks, **arguments):
    arguments = {"batch_size": 10, "epochs": 2, "verbose": 0, **arguments}
    model.fit(IMAGES, callbacks=list(callbacks), **arguments)  # 6 batches


def test_layers_trained_one_after_another_have_their_own_files(tmp_path):
    model = model_with(
        kh.HebbianCompetitive(4, name="lower"),
        kh.HebbianCompetitive(9, name="upper"),
    )
    drawn = kh.WeightVisualization(tmp_path, gif=True)
    kh.fit_layerwise(model, IMAGES, 30, callbacks=[drawn], verbose=0)
    assert names(tmp_path) == [
        "lower.gif",
        "lower_00000002.png",
        "upper.gif",
        "upper_00000002.png",
    ]


def names(directory):
    return sorted(path.name for path in pathlib.Path(directory).iterdir())


def assert_same(*files):
    observed, expected = (
        np.asarray(Image.open(file).convert("RGB")).astype(int)
        for file in files
    )
    # At most 256 colours, so not always the very same.
    assert np.abs(observed - expected).max() < 24


def test_files_are_pictures_of_the_weights_of_their_batch(tmp_path):
    model = model_with()
    kernels = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kernels.append(model.get_weights()[0])
    )
    fit(model, kh.WeightVisualization(tmp_path), keep)
    files = ["weights_00000006.png", "weights_00000012.png"]
    assert names(tmp_path) == files
    for kernel, file in zip(kernels, files, strict=True):
        batches = int(file[8:16])
        figure = kh.plotting.plot_weights(
            kernel, title=f"units after {batches} batches"
        )
        figure.savefig(tmp_path / "expected.png")
        assert_same(tmp_path / file, tmp_path / "expected.png")


def test_numbering_goes_on(tmp_path):
    model = model_with()
    fit(model, kh.WeightVisualization(tmp_path), epochs=1)
    fit(model, kh.WeightVisualization(tmp_path), epochs=3, initial_epoch=1)
    fit(model, kh.WeightVisualization(tmp_path), epochs=1)
    assert names(tmp_path) == [
        f"weights_{batches:08d}.png" for batches in (6, 12, 18, 24)
    ]


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_training_goes_on_numbering(tmp_path):
    def callbacks():
        return [
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            kh.WeightVisualization(tmp_path / "weights", gif=True),
        ]

    with pytest.raises(KeyboardInterrupt):
        fit(model_with(), *callbacks(), Interrupt(), epochs=4)
    assert len(names(tmp_path / "weights")) == 2
    fit(model_with(), *callbacks(), epochs=4)
    assert names(tmp_path / "weights") == [
        "weights.gif",
        *(f"weights_{batches:08d}.png" for batches in (6, 12, 18, 24)),
    ]
    with Image.open(tmp_path / "weights" / "weights.gif") as gif:
        assert gif.n_frames == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"every": 2}, [12, 24, 30]),  # and the last state
        ({"every": 4, "per": "batch"}, [4, 8, 12, 16, 20, 24, 28, 30]),
        ({"every": 100, "per": "batch"}, [30]),
    ],
)
def test_every(tmp_path, arguments, expected):
    fit(model_with(), kh.WeightVisualization(tmp_path, **arguments), epochs=5)
    drawn = [int(name[8:16]) for name in names(tmp_path)]
    assert drawn == expected


@pytest.mark.skipif(ON_TORCH, reason="torch runs single steps")
@pytest.mark.parametrize(
    ("every", "expected"), [(2, [3, 6, 9, 12]), (4, [6, 9, 12])]
)
def test_several_steps_per_execution(tmp_path, every, expected):
    pictures = kh.WeightVisualization(tmp_path, every=every, per="batch")
    fit(model_with(steps_per_execution=3), pictures)
    drawn = [int(name[8:16]) for name in names(tmp_path)]
    assert drawn == expected


def test_the_animation_shows_all_up_to_now(tmp_path):
    model = model_with()
    pictures = kh.WeightVisualization(tmp_path, gif=True)
    fit(model, pictures, epochs=3)
    Image.new("RGB", (9, 9)).save(tmp_path / "weights_00000099.png")  # later
    Image.new("RGB", (9, 9)).save(tmp_path / "weights_of_mine.png")
    fit(model, pictures)
    with Image.open(tmp_path / "weights.gif") as gif:
        assert gif.n_frames == 5
        assert gif.info["loop"] == 0  # for ever
        assert gif.info["duration"] == 2000  # a pause at the last frame
        for frame, number in enumerate((30, 6, 12, 18, 24)):  # the end first
            gif.seek(frame)
            with Image.open(tmp_path / f"weights_{number:08}.png") as png:
                expected = png.convert("RGB")
            difference = np.subtract(gif.convert("RGB"), expected, dtype=int)
            assert np.abs(difference).mean() < 2


def test_an_animation_in_a_folder_whose_name_looks_like_a_pattern(tmp_path):
    folder = tmp_path / "run [1]"
    fit(model_with(), kh.WeightVisualization(folder, gif=True))
    with Image.open(folder / "weights.gif") as gif:
        assert gif.n_frames == len(names(folder)) - 1 == 2


def test_a_large_animation_is_made_smaller(tmp_path):
    files = [tmp_path / "weights_1.png", tmp_path / "weights_2.png"]
    for file in files:
        Image.new("RGB", (30, 1500)).save(file)
    _pictures.animate(tmp_path / "weights.gif", files)
    with Image.open(tmp_path / "weights.gif") as gif:
        assert gif.size == (20, 1000)


def test_a_stage_of_one_layer_is_named_as_in_fit(tmp_path):
    model = kh.HebbianSequential([keras.Input((9,)), kh.HebbianCompetitive(5)])
    pictures = kh.WeightVisualization(tmp_path)
    kh.fit_layerwise(model, IMAGES[:8], callbacks=[pictures], verbose=0)
    assert names(tmp_path) == ["weights_00000001.png"]


def test_a_model_that_fit_builds(tmp_path):
    model = kh.HebbianSequential([kh.HebbianCompetitive(4)])
    model.compile()
    fit(model, kh.WeightVisualization(tmp_path))
    assert len(names(tmp_path)) == 2


def two_layers(units=16):
    return (
        kh.HebbianCompetitive(units, name="lower", activation="sigmoid"),
        kh.LateralInhibitionSparse(5, name="upper"),
    )


def test_every_layer_has_its_pictures(tmp_path):
    fit(
        model_with(*two_layers()),
        kh.WeightVisualization(tmp_path / "both", gif=True),
        kh.WeightVisualization(tmp_path / "one", layer="upper"),
        epochs=1,
    )
    both = ["lower.gif", "lower_00000006.png"]
    both += ["upper.gif", "upper_00000006.png"]
    assert names(tmp_path / "both") == both
    assert names(tmp_path / "one") == ["weights_00000006.png"]


def same_names():
    inner = [
        keras.Sequential(
            [keras.Input((9,)), kh.HebbianCompetitive(9, name="units")],
            name=name,
        )
        for name in ("low", "high")
    ]
    return model_with(*inner)


def test_layers_of_the_same_name_are_told_apart(tmp_path):
    fit(same_names(), kh.WeightVisualization(tmp_path, gif=True))
    first = ["units_00000006.png", "units_00000012.png"]
    second = ["units_1_00000006.png", "units_1_00000012.png"]
    gifs = ["units.gif", "units_1.gif"]
    assert names(tmp_path) == sorted([*first, *second, *gifs])
    for file in gifs:
        with Image.open(tmp_path / file) as gif:
            assert gif.n_frames == 2


@pytest.mark.parametrize("name", ["units", "units_1"])
def test_a_layer_is_chosen_by_its_name_in_the_logs(tmp_path, name):
    model = same_names()
    fit(model, kh.WeightVisualization(tmp_path, layer=name), epochs=1)
    assert names(tmp_path) == ["weights_00000006.png"]
    low, high = (inner.get_weights()[0] for inner in model.layers)
    kernel = low if name == "units" else high
    figure = kh.plotting.plot_weights(kernel, title=f"{name} after 6 batches")
    figure.savefig(tmp_path / "expected.png")
    assert_same(tmp_path / "weights_00000006.png", tmp_path / "expected.png")


def test_layers_whose_inputs_make_no_image_are_left_out(tmp_path):
    model = model_with(*two_layers(units=6))
    fit(model, kh.WeightVisualization(tmp_path), epochs=1)
    assert names(tmp_path) == ["weights_00000006.png"]
    upper = kh.WeightVisualization(tmp_path, layer="upper")
    with pytest.raises(ValueError, match="images of 6 values"):
        fit(model, upper)
    fit(model, kh.WeightVisualization(tmp_path, image_shape=(2, 3)), epochs=1)
    assert names(tmp_path)[1:] == ["weights_00000012.png"]


@pytest.mark.parametrize("format", ["svg", "pdf", "jpg"])
def test_formats(tmp_path, format):
    fit(model_with(), kh.WeightVisualization(tmp_path, format=format))
    signature = {"svg": b"<?xml", "pdf": b"%PDF-", "jpg": b"\xff\xd8\xff"}
    for path in tmp_path.iterdir():
        assert path.suffix == f".{format}"
        assert path.read_bytes().startswith(signature[format])


@pytest.mark.filterwarnings("ignore:Nothing learns")
def test_frozen_weights_are_drawn_once(tmp_path):
    model = model_with()
    fit(model, epochs=1)
    model.layers[0].trainable = False
    model.compile()
    fit(model, kh.WeightVisualization(tmp_path))
    assert names(tmp_path) == ["weights_00000006.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "every"),
        ({"per": "step"}, "per"),
        ({"gif": True}, "directory"),
        ({"gif": True, "directory": "x", "format": "svg"}, "PNG"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        kh.WeightVisualization(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (2, 4)}, r"images of 9 values.*\(2, 4\)"),
        ({"layer": "unit"}, r"layer='unit'.*\['units'\]"),
        ({"format": "gif87"}, "format"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(tmp_path, arguments, message):
    model = model_with()
    before = model.get_weights()[0]
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        fit(model, kh.WeightVisualization(tmp_path, **arguments))
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_nowhere_to_draw_to_is_refused():
    with pytest.raises(ValueError, match="Expected a `directory`"):
        fit(model_with(), kh.WeightVisualization())


@pytest.mark.parametrize("argument", ["directory", "log_dir"])
def test_a_directory_that_cannot_be_is_refused(tmp_path, argument):
    (tmp_path / "file").write_text("no directory")
    inside = tmp_path / "file" / "weights"
    with pytest.raises(OSError, match=rf"Expected a directory.*{inside}"):
        fit(model_with(), kh.WeightVisualization(**{argument: inside}))


def test_a_full_disk_is_told_of_and_training_goes_on(tmp_path, monkeypatch):
    model = model_with()
    write = pathlib.Path.write_bytes

    def full(path, data):
        write(path, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    pictures = kh.WeightVisualization(tmp_path, gif=True)
    fit(model, pictures, epochs=1)
    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.warns(UserWarning, match=r"\d\.png.*No space") as caught:
        fit(model, pictures)
    told = [str(each.message) for each in caught]
    for file in ("00000012.png", "00000018.png"):
        assert sum(f"{file} could not be written" in each for each in told) == 1
    assert int(model.layers[0].iterations) == 18
    assert names(tmp_path) == ["weights.gif", "weights_00000006.png"]


def test_a_directory_that_vanishes_is_told_of(tmp_path):
    model = model_with()

    class Remove(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            for path in tmp_path.iterdir():
                path.unlink()
            tmp_path.rmdir()

    pictures = kh.WeightVisualization(tmp_path, every=2, gif=True)
    with pytest.warns(UserWarning, match=r"00000006\.png could not be"):
        fit(model, pictures, Remove(), epochs=1)
    assert int(model.layers[0].iterations) == 6


def test_pictures_in_tensorboard(tmp_path):
    fit(model_with(), kh.WeightVisualization(log_dir=tmp_path))
    loader = importlib.import_module(
        "tensorboard.backend.event_processing.event_file_loader"
    )
    (file,) = tmp_path.iterdir()
    drawn = {}
    for event in loader.EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            width, height, picture = value.tensor.string_val
            drawn[event.step] = picture
            assert int(width) > int(height) > 100
    assert sorted(drawn) == [6, 12]
    assert drawn[6].startswith(b"\x89PNG")


def test_tensorboard_needs_its_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(
        ImportError, match="Expected tensorboard to be installed"
    ):
        fit(model_with(), kh.WeightVisualization(log_dir=tmp_path))


def test_a_notebook_cell_is_replaced(monkeypatch):
    shown, replaced = [], []
    handle = types.SimpleNamespace(update=replaced.append)

    def display(picture, display_id):
        shown.append(picture)
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    fit(model_with(), kh.WeightVisualization(live=True), epochs=4)
    assert (len(shown), len(replaced)) == (1, 3)
    assert replaced[0].data.startswith(b"\x89PNG")
    assert replaced[0].data != replaced[2].data


@pytest.mark.parametrize(
    "given", [{"units": 100}, {"labels": ["a"]}, {"columns": 0}]
)
def test_what_cannot_be_drawn_is_refused_before_the_first_step(tmp_path, given):
    model = model_with()
    pictures = kh.WeightVisualization(tmp_path, every=50, **given)
    with pytest.raises(ValueError, match="Expected"):
        fit(model, pictures)
    assert int(model.layers[0].iterations) == 0


@pytest.mark.parametrize("name", ["colums", "kernel"])
def test_arguments_of_no_picture_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=rf"Expected arguments.*: {name}"):
        kh.WeightVisualization(tmp_path, **{name: 2})
