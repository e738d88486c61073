"""Powers of tensors."""

from keras import ops

from keras_hebbian._arguments import Tensor
from keras_hebbian._backend import general_power


def power(base: Tensor, exponent: float) -> Tensor:
    """Raises a non-negative tensor to a power >= 0.

    Integer exponents use multiplication: a general power costs ten times as
    much, more than the product of a batch with a kernel.
    """
    if exponent != int(exponent):
        return general_power(base, exponent)
    if exponent <= 1:
        return base if exponent == 1 else ops.ones_like(base)
    root = power(base, exponent // 2)
    square = root * root
    return square * base if exponent % 2 else square
