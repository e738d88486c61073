"""Image datasets from several sources in one format."""

import math
import os
import pathlib
from typing import Any

import keras
import numpy as np

from keras_hebbian._arguments import check_class_indices, require

Split = tuple[np.ndarray, np.ndarray]

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_KERAS = ("mnist", "fashion_mnist", "cifar10")


def load_data(source: str | os.PathLike[str]) -> tuple[Split, Split]:
    """Loads labelled images, ready for a local layer.

    Example:

    >>> import keras_hebbian as kh
    >>> (x_train, y_train), (x_test, y_test) = kh.datasets.load_data("digits")
    >>> x_train.shape, y_test.shape, x_train.dtype
    ((1437, 8, 8), (360,), dtype('float32'))

    Args:
        source: One of

            - `"digits"`: the 1797 scanned 8x8 digits that come with
              scikit-learn, the last fifth of them as the test set. No
              download, but scikit-learn must be installed.
            - `"mnist"`, `"fashion_mnist"`, `"cifar10"`: from
              `keras.datasets`, which downloads them once.
            - the path of an `.npz` file with the keys `x_train`, `y_train`,
              `x_test` and `y_test`, as Keras stores MNIST.
            - the path of a MATLAB `.mat` file with the layout of
              `mnist_all.mat`: `train0` to `train9` and `test0` to `test9`,
              with one flattened square image per row.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images as float32 in [0, 1],
        `(samples, height, width)` or with channels last, and labels as int32
        class indices, `(samples,)`.

    Raises:
        ValueError: If the source is unknown, if the file cannot be read or
            lacks the expected arrays, if there is not one label per image, if
            training and test images have different shapes, if labels are not
            class indices, or if images are neither of dtype uint8 nor within
            [0, 1].
        FileNotFoundError: If the file does not exist.
        ImportError: If `"digits"` is requested without scikit-learn.
    """
    if source == "digits":
        arrays = _load_digits()
    elif source in _KERAS:
        train, test = getattr(keras.datasets, source).load_data()
        arrays = dict(zip(_KEYS, (*train, *test), strict=True))
    else:
        arrays = _load_file(pathlib.Path(source))
    train = _checked(source, arrays["x_train"], arrays["y_train"])
    test = _checked(source, arrays["x_test"], arrays["y_test"])
    shapes = train[0].shape[1:], test[0].shape[1:]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "Expected training and test images of one shape. Received: "
            f"{shapes[0]} and {shapes[1]} in {source}"
        )
    return train, test


def _load_digits() -> dict[str, np.ndarray]:
    sklearn = require("sklearn.datasets", "the digits", "scikit-learn")
    digits = sklearn.load_digits()
    images = digits.images / 16.0  # grey levels 0 to 16
    split = len(images) * 4 // 5
    return {
        "x_train": images[:split],
        "y_train": digits.target[:split],
        "x_test": images[split:],
        "y_test": digits.target[split:],
    }


def _load_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    readers = {
        ".npz": (_load_npz, f"an .npz file with the arrays {', '.join(_KEYS)}"),
        ".mat": (
            _load_mat,
            "a .mat file with the matrices train0..train9 and test0..test9",
        ),
    }
    if path.suffix not in readers:
        names = ", ".join(("digits", *_KERAS))
        raise ValueError(
            f"Expected one of {names}, or the path of an .npz or .mat file. "
            f"Received: {str(path)!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a data file. Received: {path}, which does not exist"
        )
    read, expected = readers[path.suffix]
    try:
        return read(path)
    except Exception as error:
        raise ValueError(
            f"Expected {expected}. Received: {path} ({error})"
        ) from error


def _load_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in _KEYS}


def _load_mat(path: pathlib.Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    file = loadmat(path)
    arrays: dict[str, np.ndarray] = {}
    for split in ("train", "test"):
        rows = [file[f"{split}{digit}"] for digit in range(10)]
        side = math.isqrt(rows[0].shape[1])
        arrays[f"x_{split}"] = np.concatenate(rows).reshape(-1, side, side)
        arrays[f"y_{split}"] = np.repeat(
            np.arange(10), [len(images) for images in rows]
        )
    return arrays


def _checked(source: Any, images: np.ndarray, labels: np.ndarray) -> Split:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if images.ndim < 2 or labels.shape != images.shape[:1] or not images.size:
        raise ValueError(
            "Expected at least one image, and one label per image. Received: "
            f"images.shape={images.shape}, labels.shape={labels.shape} in "
            f"{source}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "Expected labels to be integer class indices. Received: "
            f"dtype={labels.dtype} in {source}"
        )
    check_class_indices(labels)
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    images = images.astype("float32")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            "Expected images of dtype uint8, or with values in [0, 1]. "
            f"Received: values from {images.min()} to {images.max()} in "
            f"{source}"
        )
    return images, labels.astype("int32")
