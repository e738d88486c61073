"""Checks of arguments and of values, with one wording for all of them."""

import numbers
from collections.abc import Sequence
from typing import Any

from keras import KerasTensor as Tensor
from keras import ops

LARGEST = {"integer": 2**31 - 1, "number": 2.0**127}  # int32, float32


def check_integer(name: str, value: Any, minimum: int) -> int:
    """`value` as an `int`, or a `ValueError` that names the argument."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not minimum <= value <= LARGEST["integer"]:
        raise ValueError(
            f"Expected `{name}` to be an integer >= {minimum} within int32. "
            f"Received: {name}={value!r}"
        )
    return int(value)


def check_real(name: str, value: Any, minimum: float) -> float:
    """`value` as a `float`, or a `ValueError` that names the argument."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not minimum <= value <= LARGEST["number"]:
        raise ValueError(
            f"Expected `{name}` to be a finite number >= {minimum} within "
            f"float32. Received: {name}={value!r}"
        )
    return float(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value` if it is one of the choices, or a `ValueError` that does."""
    if value not in choices:
        raise ValueError(
            f"Expected `{name}` to be one of {tuple(choices)}. "
            f"Received: {name}={value!r}"
        )
    return value


def check_values(expected: str, values: Tensor, fit: Tensor) -> None:
    """A `ValueError` if values that can be seen do not `fit`, a scalar.

    Those of a traced tensor cannot be seen, and pass.
    """
    try:
        fits = bool(fit)
    except TypeError:  # a traced tensor has no values yet
        return
    if not fits:
        # In NumPy, because on JAX a minimum may pass over NaN.
        seen = ops.convert_to_numpy(ops.cast(values, "float32"))
        raise ValueError(
            f"Expected {expected}. Received: values from {seen.min()} to "
            f"{seen.max()}"
        )
