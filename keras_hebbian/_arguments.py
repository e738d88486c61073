"""Checks of arguments, and a type alias for annotations."""

import importlib
import numbers
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from keras import ops

Tensor: TypeAlias = Any
"""A tensor of the current backend."""

INT32_MAX = int(np.iinfo("int32").max)
FLOAT32_MAX = float(np.finfo("float32").max)
TINY = float(np.finfo("float32").tiny)
"""The smallest normal number of float32."""


def check_integer(name: str, value: Any, minimum: int) -> int:
    """Returns `value` as an `int`, or raises a `ValueError` with its name."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not minimum <= value <= INT32_MAX:
        raise ValueError(
            f"Expected `{name}` to be an integer >= {minimum} within int32. "
            f"Received: {name}={value!r}"
        )
    return int(value)


def check_integers(name: str, value: Any, most: int) -> tuple[int, ...]:
    """Returns one integer >= 1, or up to `most` of them, as a tuple."""
    values = value if isinstance(value, list | tuple) else (value,)
    if not 1 <= len(values) <= most:
        raise ValueError(
            f"Expected `{name}` as 1 to {most} integers. "
            f"Received: {name}={value!r}"
        )
    return tuple(check_integer(name, each, minimum=1) for each in values)


def check_real(name: str, value: Any, minimum: float) -> float:
    """Returns `value` as a `float`, or raises a `ValueError` with its name.

    Scalar tensors and arrays count as numbers.
    """
    if getattr(value, "shape", None) == ():
        value = ops.convert_to_numpy(value).item()
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not minimum <= value <= FLOAT32_MAX:
        raise ValueError(
            f"Expected `{name}` to be a finite number >= {minimum} within "
            f"float32. Received: {name}={value!r}"
        )
    return float(value)


def check_positive(name: str, value: Any) -> float:
    """Returns `value` as a `float` > 0, or raises a `ValueError`."""
    if check_real(name, value, minimum=0) == 0:
        raise ValueError(
            f"Expected `{name}` to be a finite number > 0. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def require(module: str, purpose: str, package: str | None = None) -> Any:
    """Imports a module that only `purpose` needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module.partition(".")[0]
        raise ImportError(
            f"Expected {package} to be installed for {purpose}: `pip install "
            f"{package}`. Received: {error}"
        ) from error


def check_precision(value: Any) -> float:
    """Returns the divisor `precision` as a `float`, or raises a `ValueError`.

    Below `TINY` it would be rounded to 0.
    """
    return check_real("precision", value, minimum=TINY)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Returns `value` if it is one of `choices`, or raises a `ValueError`."""
    if value not in choices:
        raise ValueError(
            f"Expected `{name}` to be one of {tuple(choices)}. "
            f"Received: {name}={value!r}"
        )
    return value


def class_of_each(classes: Any, count: int, what: str) -> np.ndarray:
    """Classes as an array `(count,)`, also if they came as `(count, 1)`."""
    classes = np.asarray(classes)
    if classes.shape == (count, 1):
        classes = classes[:, 0]
    if classes.shape != (count,):
        raise ValueError(
            f"Expected a class for each of {count} {what}s. "
            f"Received: classes.shape={classes.shape}"
        )
    return classes


def check_class_indices(
    labels: np.ndarray, num_classes: int | None = None
) -> np.ndarray:
    """Returns labels as int64, or raises a `ValueError` with those that are
    no class indices. They may come as whole numbers of any type."""
    if labels.dtype.kind == "O":
        labels = np.array(labels.tolist())
    wrong = classes = labels
    if labels.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):  # NaN differs from any integer
            classes = labels.astype("int64")
        largest = INT32_MAX if num_classes is None else num_classes - 1
        above = classes > largest
        wrong = labels[(classes != labels) | (classes < 0) | above]
    if wrong.size:
        allowed = ", integers >= 0 within int32"
        if num_classes is not None:
            allowed = f" between 0 and {num_classes - 1}"
        raise ValueError(
            f"Expected labels to be class indices{allowed}. "
            f"Received: {wrong[:10]} of dtype {labels.dtype}"
        )
    return classes
