"""The cost of a learning step of convolutional layers.

    KERAS_BACKEND=jax python tests/benchmarks/convolution.py

The time of a step of `Convolution(SoftHebb)` at each of the three layers of
`examples/cifar10_deep.py`, as a share of the least that a step must do: one
convolution of the inputs, and one product of the patches with the activations
of the rule. For comparison, the same rule as it is usually written in torch,
with the update as a convolution of the transposed inputs, as a share of
the same work. All of them run in turns in one process.
"""

import functools
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
from step import compiled

import experiment
import keras_hebbian as kh
from cifar10_deep import blocks
from deep_network import Block

SIZES = (32, 16, 8)  # of the images at each layer


def least(block: Block, inputs: Any) -> Callable:
    """The convolution, and the product of patches and activations."""
    fan_in = block.kernel_size**2 * inputs.shape[-1]
    window = (block.kernel_size, block.kernel_size, inputs.shape[-1])
    kernel = keras.random.normal((*window, block.units))
    samples = inputs.shape[0] * inputs.shape[1] * inputs.shape[2]
    patches = keras.random.normal((samples, fan_in))
    activations = keras.random.normal((samples, block.units))
    convolve = compiled(
        lambda x, w: ops.conv(x, w, padding="same", data_format="channels_last")
    )
    multiply = compiled(lambda x, g: ops.transpose(x) @ g)

    def both() -> None:
        convolve(inputs, kernel)
        multiply(patches, activations)

    return both


def learning(block: Block, inputs: Any) -> Callable:
    """A step of the layer."""
    layer = kh.Convolution(block.local(), block.kernel_size, padding="reflect")
    layer.build(inputs.shape)
    values = [weight.value for weight in layer.non_trainable_variables]
    step = compiled(
        lambda x: layer.stateless_call([], values, x, training=True)
    )
    return functools.partial(step, inputs)


def usual(block: Block, inputs: Any) -> Callable:
    """The rule with axes exchanged for its update, on torch."""
    import torch
    from torch.nn import functional

    border = block.kernel_size // 2
    kernel = torch.randn(
        block.units, inputs.shape[-1], block.kernel_size, block.kernel_size
    )
    inputs = inputs.permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def step() -> Any:
        x = functional.pad(inputs, [border] * 4, mode="reflect")
        drives = functional.conv2d(x, kernel)
        shares = -torch.softmax(drives / block.temperature, dim=1)
        winners = drives.argmax(dim=1, keepdim=True)
        shares.scatter_(1, winners, -shares.gather(1, winners))
        hebbian = functional.conv2d(x.transpose(0, 1), shares.transpose(0, 1))
        decay = (shares * drives).sum(dim=(0, 2, 3))
        change = hebbian.transpose(0, 1) - decay[:, None, None, None] * kernel
        change /= change.abs().max() + 1e-30
        apart = (kernel.flatten(1).norm(dim=1) - 1).abs() + 1e-10
        rate = block.learning_rate * apart.sqrt()
        return drives, kernel + rate[:, None, None, None] * change

    return step


def medians(calls: dict[str, Callable], turns: int) -> dict[str, float]:
    """The median seconds of each call; all of them take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    channels = 3
    for number, block in enumerate(blocks(4 if quick else 96), start=1):
        for batch in (10,) if quick else (10, 100):
            size = SIZES[number - 1]
            inputs = keras.random.normal((batch, size, size, channels))
            calls = {
                "least": least(block, inputs),
                "step / products": learning(block, inputs),
            }
            if keras.backend.backend() == "torch":
                calls["the usual form in torch"] = usual(block, inputs)
            seconds = medians(calls, 2 if quick else 15)
            products = seconds.pop("least")
            shares = {name: each / products for name, each in seconds.items()}
            yield f"layer {number}, batch {batch}", shares, None
        channels = block.units


if __name__ == "__main__":
    experiment.main(run, __doc__, "digits", {}, draw=None)
