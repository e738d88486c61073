"""Powers of tensors."""

from keras import ops

from keras_hebbian._arguments import Tensor


def power(base: Tensor, exponent: float) -> Tensor:
    """A tensor without negative values to a power >= 0.

    Whole exponents by multiplication: a general power costs ten times as much,
    and more than the product of a batch with a kernel.
    """
    if exponent != int(exponent):
        return general_power(base, exponent)
    if exponent <= 1:
        return base if exponent == 1 else ops.ones_like(base)
    root = power(base, exponent // 2)
    square = root * root
    return square * base if exponent % 2 else square


def general_power(base: Tensor, exponent: float) -> Tensor:
    """As `keras.ops.power`, which some versions on torch compute in float32."""
    return base**exponent
