import sys

import keras
import numpy as np
import pytest
import scipy.io

import keras_hebbian as kh

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (30, 5, 5), dtype="uint8")
TEST = RNG.integers(0, 256, (20, 5, 5), dtype="uint8")
LABELS = np.arange(30, dtype="uint8") % 10


def arrays(**changed):
    return {
        "x_train": TRAIN,
        "y_train": LABELS,
        "x_test": TEST,
        "y_test": LABELS[:20],
        **changed,
    }


def check(data):
    (x_train, y_train), (x_test, y_test) = data
    for images, pixels in ((x_train, TRAIN), (x_test, TEST)):
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, pixels / 255, rtol=1e-6)
    for labels, expected in ((y_train, LABELS), (y_test, LABELS[:20])):
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, expected)


def test_digits_are_the_real_ones():
    (x_train, y_train), (x_test, y_test) = kh.datasets.load_data("digits")
    images = np.concatenate([x_train, x_test])
    labels = np.concatenate([y_train, y_test])
    assert images.shape == (1797, 8, 8)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    # As the data set's own description counts them.
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(labels).tolist() == counts
    # The first image is a zero: a ring around an empty middle.
    assert labels[0] == 0
    assert images[0, 3:5, 3].tolist() == [0, 0]
    assert images[0, 1, 2] > 0.5


def test_npz(tmp_path):
    np.savez(tmp_path / "data.npz", **arrays())
    check(kh.datasets.load_data(tmp_path / "data.npz"))
    check(kh.datasets.load_data(str(tmp_path / "data.npz")))


def test_images_in_0_to_1_stay(tmp_path):
    scaled = {"x_train": TRAIN / 255, "x_test": TEST / 255}
    np.savez(tmp_path / "data.npz", **arrays(**scaled))
    check(kh.datasets.load_data(tmp_path / "data.npz"))


def test_mat(tmp_path):
    flat = {
        f"{split}{digit}": images[LABELS[: len(images)] == digit].reshape(
            -1, 25
        )
        for split, images in (("train", TRAIN), ("test", TEST))
        for digit in range(10)
    }
    scipy.io.savemat(tmp_path / "data.mat", flat)
    train, test = kh.datasets.load_data(tmp_path / "data.mat")
    for (x, y), images in ((train, TRAIN), (test, TEST)):
        labels = LABELS[: len(images)]
        order = np.argsort(labels, kind="stable")
        np.testing.assert_array_equal(y, labels[order])
        np.testing.assert_allclose(x, images[order] / 255, rtol=1e-6)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_names_of_keras_datasets(monkeypatch, name):
    """Without the download; labels as CIFAR-10 has them, `(samples, 1)`."""
    data = (TRAIN, LABELS[:, None]), (TEST, LABELS[:20, None])
    module = getattr(keras.datasets, name)
    monkeypatch.setattr(module, "load_data", lambda: data)
    check(kh.datasets.load_data(name))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_test": LABELS[:19]}, "one label per image"),
        ({"y_train": LABELS.astype("float32")}, "integer class indices"),
        ({"y_train": LABELS.astype("int64") - 1}, "to be class indices"),
        ({"x_train": TRAIN.astype("float32")}, r"values in \[0, 1\]"),
        ({"x_train": TRAIN / -255.0}, r"values in \[0, 1\]"),
        ({"x_test": TEST * np.nan}, r"values in \[0, 1\]"),
        ({"x_test": TEST[:0], "y_test": LABELS[:0]}, "at least one image"),
        ({"x_test": TEST[:, :0]}, "at least one image"),
        ({"y_train": LABELS + np.int64(2**40)}, "to be class indices"),
        ({"x_test": TEST[:, 1:]}, "images of one shape"),
    ],
)
def test_unfit_arrays_are_refused(tmp_path, changed, message):
    np.savez(tmp_path / "data.npz", **arrays(**changed))
    with pytest.raises(ValueError, match=f"Expected .*{message}.*Received"):
        kh.datasets.load_data(tmp_path / "data.npz")


def test_an_incomplete_file_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x_train=TRAIN, y_train=LABELS)
    with pytest.raises(ValueError, match=r"x_train, y_train, x_test, y_test"):
        kh.datasets.load_data(tmp_path / "data.npz")
    scipy.io.savemat(tmp_path / "data.mat", {"train0": np.zeros((2, 25))})
    with pytest.raises(ValueError, match=r"train0\.\.train9"):
        kh.datasets.load_data(tmp_path / "data.mat")


@pytest.mark.parametrize("suffix", ["npz", "mat"])
def test_an_unreadable_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(b"not what it says")
    with pytest.raises(ValueError, match=r"Expected an? .* file with"):
        kh.datasets.load_data(path)


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected one of digits, .*'cats'"):
        kh.datasets.load_data("cats")
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        kh.datasets.load_data(tmp_path / "missing.npz")


def test_digits_without_scikit_learn_name_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r"Expected scikit-learn.*pip install"
    ):
        kh.datasets.load_data("digits")
