"""Local learning from the patches of images, signals and volumes."""

import math
import warnings
from typing import Any

import keras
from keras import ops

from keras_hebbian._arguments import (
    Tensor,
    check_choice,
    check_integer,
    check_integers,
)
from keras_hebbian._backend import convolution_is_fast
from keras_hebbian.layers import _patches
from keras_hebbian.layers.kernel_layer import KernelLayer
from keras_hebbian.layers.local_learning import LocalLearningLayer


@keras.saving.register_keras_serializable(package="keras_hebbian")
class Convolution(keras.layers.Wrapper):
    """Applies a local layer to every patch of its inputs.

    The wrapped layer treats each patch of an image as a sample: its units
    respond to all patches and learn from all of them, or from `positions`
    random ones of each image. It can be any `LocalLearningLayer`, including
    custom ones. Inputs are signals, images or volumes, with one, two or three
    axes between the batch and the channels.

    The wrapper itself has no weights. Rates, counters, reports and `trainable`
    are those of the wrapped layer, `convolution.layer`.

    Formula:

    ```
    x[b, o]       = the inputs in the window of patch o of image b, flattened
    outputs[b, o] = layer(x[b, o])
    ```

    `o` is the position of a patch, one number for each axis. The inputs of a
    patch are in the order height, width, channel, so that the kernel of the
    wrapped layer, `(height * width * channels, units)`, is the kernel of a
    `keras.layers.Conv2D`, reshaped; the same holds for one and three axes.

    At inference, a layer whose response is the product of inputs and kernel
    (`KernelLayer`) is computed as one convolution, without patches, except by
    JAX on a CPU, whose convolution is slower.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> units = kh.HebbianCompetitive(units=8)
    >>> layer = kh.Convolution(units, kernel_size=5, padding="same")
    >>> outputs = layer(np.random.rand(2, 28, 28, 3), training=True)
    >>> tuple(outputs.shape), tuple(units.kernel.shape)
    ((2, 28, 28, 8), (75, 8))

    Args:
        layer: `LocalLearningLayer` that learns from the patches. It cannot be
            shared with another `Convolution`.
        kernel_size: Integer >= 1 or a tuple of one to three integers, size of
            the patches along each axis.
        strides: Integer >= 1 or a tuple of one to three integers, distance
            between patches along each axis. Defaults to `1`.
        padding: `"valid"` for patches inside the image only; `"same"` for a
            border of zeros, which gives one patch per pixel (of every
            `strides`-th row and column); `"reflect"` for the same number of
            patches, with a border that mirrors the image. Defaults to
            `"valid"`.
        positions: Integer >= 1, number of patches of each image to learn
            from, drawn at random in each step. A rule that sums over the batch
            may need few samples per step. Defaults to `None`, all patches.
        seed: Integer, seed of that draw. Defaults to `None`, a random seed,
            which `keras.utils.set_random_seed` fixes.
        **kwargs: Arguments of `keras.layers.Layer`. By default the dtype policy
            is that of `layer`.

    Call arguments:
        inputs: Tensor `(batch, ..., channels)` with one to three axes between
            batch and channels. Integers are cast to the compute dtype.
        training: Whether the layer learns from `inputs`. The wrapped layer
            skips batches as it does without the wrapper.

    Input shape:
        `(batch, steps, channels)`, `(batch, height, width, channels)` or
        `(batch, depth, height, width, channels)`

    Output shape:
        The same with `units` in place of `channels`, and with the number of
        patches along each axis.

    Raises:
        ValueError: If `layer` is not a `LocalLearningLayer`, belongs to another
            `Convolution`, was built for a different number of inputs, or has a
            `call` or an `activity_regularizer` of its own; if an argument is
            out of range; if the inputs have the wrong rank, unknown channels,
            or fewer patches than `positions` (on TensorFlow an error of
            `top_k`, if their number is unknown until run time); or if Keras is
            set to `"channels_first"`.

    Reference:
        Coates, Lee and Ng, "An analysis of single-layer networks in
        unsupervised feature learning", AISTATS 2011: features learned from
        random patches and computed for all of them.
    """

    def __init__(
        self,
        layer: LocalLearningLayer,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        positions: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, LocalLearningLayer):
            raise ValueError(
                "Expected `layer` to be a `LocalLearningLayer`. "
                f"Received: layer={layer!r}"
            )
        if type(layer).call is not LocalLearningLayer.call:
            raise ValueError(
                "Expected a layer without a `call` of its own, which would not "
                "be called: override `respond` or `learn`. "
                f"Received: layer={layer!r}"
            )
        if layer.activity_regularizer is not None:
            raise ValueError(
                "Expected a layer without a regularizer of its outputs, which "
                "would have no effect: give it to the `Convolution`. Received: "
                f"activity_regularizer={layer.activity_regularizer!r}"
            )
        super().__init__(layer, **{"dtype": layer.dtype_policy, **kwargs})
        if not kwargs.get("trainable", True):
            self.trainable = False
        self.kernel_size = _check_sizes("kernel_size", kernel_size)
        self.strides = _check_sizes("strides", strides)
        if len({len(x) for x in self._tuples()}) > 1:
            raise ValueError(
                "Expected `kernel_size` and `strides` for the same number of "
                f"axes. Received: kernel_size={kernel_size}, strides={strides}"
            )
        self.padding = check_choice("padding", padding, _patches.PADDINGS)
        self.positions = positions
        self.seed = seed
        if positions is not None:
            self.positions = check_integer("positions", positions, minimum=1)
            self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def trainable(self) -> bool:
        return self.layer.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.layer.trainable = value

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = self._check_inputs(input_shape)
        axes = len(input_shape) - 2
        self._windows = self._windows_for(axes)
        self._check_patches(input_shape)
        self._warn_about_images(input_shape)
        image_shape = (*self._windows[0], channels)
        inputs = math.prod(image_shape)
        layer = self.layer
        if layer.kernel_image_shape is not None and not self.built:
            raise ValueError(
                f"Expected a separate layer for {self.name}. Received: "
                f"layer={layer.name}, which belongs to another `Convolution`"
            )
        if not layer.built:
            layer.build((None, inputs))
        elif layer.input_spec.axes[-1] != inputs:
            raise ValueError(
                f"Expected {layer.name} to be built for patches of {inputs} "
                f"inputs, {image_shape}, or not at all. Received: a layer "
                f"built for {layer.input_spec.axes[-1]} inputs"
            )
        layer.kernel_image_shape = image_shape
        self.input_spec = keras.layers.InputSpec(
            ndim=len(input_shape), axes={-1: channels}
        )

    def _windows_for(
        self, axes: int
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes of the patches and distances between them, for each axis."""
        return _each(self.kernel_size, axes), _each(self.strides, axes)

    def _tuples(self) -> list[tuple[int, ...]]:
        given = (self.kernel_size, self.strides)
        return [sizes for sizes in given if isinstance(sizes, tuple)]

    def _check_inputs(self, input_shape: tuple[int | None, ...]) -> int:
        """The number of channels of inputs that have patches."""
        if keras.config.image_data_format() == "channels_first":
            raise ValueError(
                "Expected images with their channels last. Received: "
                "keras.config.image_data_format()='channels_first'"
            )
        tuples = self._tuples()
        ranks = [len(tuples[0]) + 2] if tuples else [3, 4, 5]
        if len(input_shape) not in ranks:
            raise ValueError(
                "Expected inputs `(batch, ..., channels)` of rank "
                f"{' or '.join(map(str, ranks))}. "
                f"Received: input_shape={input_shape}"
            )
        channels = input_shape[-1]
        if not channels:
            raise ValueError(
                "Expected inputs with a known number of channels >= 1. "
                f"Received: input_shape={input_shape}"
            )
        return channels

    def _warn_about_images(self, input_shape: tuple[int | None, ...]) -> None:
        *_, steps, channels = input_shape
        if len(input_shape) == 3 and steps == channels and not self._tuples():
            warnings.warn(
                f"{self.name} takes inputs of shape {input_shape} for signals "
                f"with {channels} channels. If they are images, give them an "
                "axis of channels: `images[..., None]`. If they are signals, "
                f"pass `kernel_size=({self.kernel_size},)`",
                stacklevel=2,
            )

    def _check_patches(self, input_shape: tuple[int | None, ...]) -> None:
        """Rejects images too small for a patch, or for `positions`."""
        axes = zip(input_shape[1:-1], *self._windows, strict=True)
        for size, kernel, stride in axes:
            if size is None or self.padding == "same":
                continue
            if self.padding == "valid":
                fits = kernel <= size
            else:  # reflection repeats all pixels but the one at the edge
                fits = max(_patches.border(size, kernel, stride)) < size
            if not fits:
                raise ValueError(
                    "Expected images at least as large as a patch and its "
                    f"border. Received: input_shape={input_shape} for "
                    f"kernel_size={self.kernel_size} and "
                    f"padding={self.padding!r}"
                )
        counts = self.compute_output_shape(input_shape)[1:-1]
        known = [count for count in counts if count is not None]
        if len(known) < len(counts) or self.positions is None:
            return
        if self.positions > math.prod(known):
            raise ValueError(
                f"Expected `positions` <= {math.prod(known)}, the number of "
                f"patches of an image. Received: positions={self.positions}"
            )

    def call(
        self,
        inputs: Tensor,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        self._check_patches(inputs.shape)
        layer = self.layer
        inputs = ops.cast(inputs, layer.compute_dtype)
        learning = layer._learns(training, mask)
        state = layer._values_for(inputs, learning)
        from_all = learning and self.positions is None
        with_patches = from_all or bool(layer._observers)
        convolves = self._is_convolution(with_patches)
        if with_patches or not convolves:
            samples = ops.cast(self._all_patches(inputs), layer.state_dtype)
            for observe in layer._observers:
                observe(samples)
        if convolves:
            response = self._convolve(inputs, state)
        else:
            response = layer._for_rows(layer.respond, samples, state)
        if from_all:
            layer.update_state(samples, response)
        elif learning:
            layer.update_state(self._patches_to_learn(inputs))
        outputs = layer.activation(ops.cast(response, layer.compute_dtype))
        return ops.cast(outputs, self.compute_dtype)

    def update_state(self, inputs: Tensor) -> None:
        """Learns from a batch as in training, without computing outputs.

        Args:
            inputs: Tensor `(batch, ..., channels)`.

        Raises:
            ValueError: If the layer has not been built, or if the inputs do
                not fit, as in `call`.
        """
        inputs = ops.convert_to_tensor(inputs)
        if not self.built:
            raise ValueError(
                f"Expected {self.name} to be built. Received: inputs of shape "
                f"{tuple(inputs.shape)}"
            )
        if len(inputs.shape) != self.input_spec.ndim:
            raise ValueError(
                "Expected inputs `(batch, ..., channels)` of rank "
                f"{self.input_spec.ndim}. Received: inputs of shape "
                f"{tuple(inputs.shape)}"
            )
        self._check_patches(inputs.shape)
        if self.trainable:
            inputs = ops.cast(inputs, self.layer.compute_dtype)
            self.layer.update_state(self._patches_to_learn(inputs))

    def _is_convolution(self, with_patches: bool) -> bool:
        """Whether outputs, which are `inputs @ kernel`, are computed by a
        convolution, also if there are patches for other reasons."""
        is_product = type(self.layer).respond is KernelLayer.respond
        return is_product and convolution_is_fast(with_patches)

    def _convolve(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        layer = self.layer
        kernel = state["kernel"]
        shape = (*layer.kernel_image_shape, layer.units)
        padding = self.padding
        if padding == "reflect":
            inputs, padding = self._padded(inputs), "valid"
        response = ops.conv(
            inputs,
            layer.narrow(ops.reshape(kernel, shape)),
            strides=self._windows[1],
            padding=padding,
            data_format="channels_last",
        )
        # (batch, ..., units)
        return layer.shift(ops.cast(response, kernel.dtype), state)

    def _padded(self, inputs: Tensor) -> Tensor:
        return _patches.pad(inputs, *self._windows, self.padding)

    def _all_patches(self, inputs: Tensor) -> Tensor:
        return _patches.take(self._padded(inputs), *self._windows)

    def _patches_to_learn(self, inputs: Tensor) -> Tensor:
        """The patches to learn from, all or random ones."""
        if self.positions is None:
            return self._all_patches(inputs)
        inputs = self._padded(ops.stop_gradient(inputs))
        return _patches.draw(
            inputs, *self._windows, self.positions, self.seed_generator
        )

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        batch, *sizes, _ = input_shape
        axes = zip(sizes, *self._windows_for(len(sizes)), strict=True)
        counts = (
            None if axis[0] is None else _patches.count(*axis, self.padding)
            for axis in axes
        )
        return (batch, *counts, self.layer.units)

    def save_own_variables(self, store: Any) -> None:
        if self.positions is not None:
            state = self.seed_generator.state
            store["seed"] = ops.convert_to_numpy(state)

    def load_own_variables(self, store: Any) -> None:
        if self.positions is not None and "seed" in store:
            self.seed_generator.state.assign(store["seed"])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "positions": self.positions,
            "seed": self.seed,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "Convolution":
        # Keras's own method removes the layer from the dict it is given.
        return super().from_config(dict(config), custom_objects)


def _check_sizes(name: str, sizes: Any) -> int | tuple[int, ...]:
    """One integer for all axes, or a tuple with one for each axis."""
    checked = check_integers(name, sizes, most=3)
    return checked if isinstance(sizes, list | tuple) else checked[0]


def _each(sizes: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return sizes if isinstance(sizes, tuple) else (sizes,) * axes
