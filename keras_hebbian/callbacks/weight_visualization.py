"""Images of the weights during training."""

import inspect
import math
import os
import pathlib
from typing import Any

import keras
import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from keras_hebbian._arguments import check_choice, check_integer, require
from keras_hebbian.callbacks import _pictures
from keras_hebbian.layers.local_layers import local_layers, named
from keras_hebbian.layers.local_learning import LocalLearningLayer
from keras_hebbian.plotting import fit_image_shape, plot_weights
from keras_hebbian.plotting.weights import arrange


class WeightVisualization(keras.callbacks.Callback):
    """Draws the weights of local layers during training.

    The images (`keras_hebbian.plotting.plot_weights`) are written to files, an
    animation, TensorBoard and, in a notebook, the output of the cell, where
    each replaces the previous one. They are numbered by the batches that the
    layer has learned from: files sort by this number, and a later `fit`,
    `initial_epoch` and `BackupAndRestore` continue it. Existing images with the
    same number are replaced. No window is opened.

    In a `Convolution` over images the tiles are patches: in colour for three
    channels, in grey for one, and the mean over the channels for any other
    number. Over sequences they have a row for each step and a column for each
    channel. For three axes, give an `image_shape`.

    If images cannot be written, this is an error at the start of training, and
    a warning later.

    Example:

    >>> import pathlib
    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> model = kh.HebbianSequential([kh.HebbianCompetitive(4)])
    >>> model.compile()
    >>> pictures = kh.WeightVisualization("/tmp/example_weights", gif=True)
    >>> history = model.fit(
    ...     np.random.rand(64, 9), epochs=2, callbacks=[pictures], verbose=0
    ... )
    >>> files = pathlib.Path("/tmp/example_weights").iterdir()
    >>> sorted(file.name for file in files)
    ['weights.gif', 'weights_00000002.png', 'weights_00000004.png']

    Args:
        directory: Directory for the images, `weights_00000600.png` after 600
            batches, or `layer_name_00000600.png` if several layers are drawn.
            It is created if needed; use a separate one for each callback and
            each training run.
            Defaults to `None`, no files.
        every: Integer >= 1, number of epochs or batches between two images; the
            final state is always drawn. Defaults to `1`.
        layer: Name of the layer to draw, as in the logs: the second layer
            named `units` is `units_1`. Defaults to `None`, all local layers
            with a `kernel` whose inputs form an image.
        format: Format of the files: `"png"`, `"svg"`, `"pdf"` or another one
            that matplotlib writes. Defaults to `"png"`.
        gif: Whether to write an animation of all images in the directory when
            training ends. Defaults to `False`.
        log_dir: Directory of a TensorBoard log, for which TensorFlow and
            TensorBoard must be installed. Defaults to `None`, no log.
        live: Whether to show the images in a notebook, for which IPython must
            be installed. Defaults to `None`, only when run in a notebook.
        per: `"epoch"` or `"batch"`, the unit of `every`. Defaults to `"epoch"`.
        **kwargs: Arguments of `keras_hebbian.plotting.plot_weights`, such as
            `image_shape` and `units`.

    Raises:
        ValueError: If an argument is out of range or has no effect; at the
            start of training, or as soon as the layers are built, if there is
            no such layer or its inputs do not form an image.
        OSError: At the start of training, if a directory is not writable.
        ImportError: At the start of training, if a package is missing.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        every: int = 1,
        layer: str | None = None,
        format: str = "png",
        gif: bool = False,
        log_dir: str | os.PathLike[str] | None = None,
        live: bool | None = None,
        per: str = "epoch",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if gif and (directory is None or format != "png"):
            raise ValueError(
                "Expected `gif` with a `directory` of images in PNG format. "
                f"Received: directory={directory}, format={format!r}"
            )
        self.directory = None if directory is None else pathlib.Path(directory)
        self.log_dir = None if log_dir is None else pathlib.Path(log_dir)
        self.every = check_integer("every", every, minimum=1)
        self.layer = layer
        self.format = format
        self.gif = gif
        self.live = live
        self.per = check_choice("per", per, ("epoch", "batch"))
        _, *known = inspect.signature(plot_weights).parameters
        if not kwargs.keys() <= set(known):
            raise ValueError(
                "Expected arguments of `plotting.plot_weights`, "
                f"{', '.join(known)}. Received: {', '.join(kwargs)}"
            )
        self.plot_arguments = kwargs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        live = _pictures.in_notebook() if self.live is None else self.live
        if not (self.directory or self.log_dir or live):
            raise ValueError(
                "Expected a `directory`, a `log_dir` or a notebook to draw to. "
                "Received: none of them"
            )
        self._drawn: dict[str, int] = {}
        self._cells: dict[str, Any] = {}
        self._waiting = 0
        self._last_batch = -1
        for directory in filter(None, (self.directory, self.log_dir)):
            _pictures.check_writable(directory)
        self._check_format()
        self._ipython = (
            require("IPython.display", "pictures in a notebook")
            if live
            else None
        )
        if self.log_dir:
            require("tensorboard", "TensorBoard")
            self._tensorflow = require("tensorflow", "TensorBoard")
            path = str(self.log_dir)
            self._log = self._tensorflow.summary.create_file_writer(path)
        if all(layer.built for layer in local_layers(self.model)):
            for layer in self._layers().values():
                self._check_units(layer)

    def _check_units(self, layer: LocalLearningLayer) -> None:
        """Rejects units, rows, columns or labels that do not fit the layer."""
        names = inspect.signature(arrange).parameters
        given = self.plot_arguments
        arrange(layer.units, **{x: given[x] for x in names if x in given})

    def _check_format(self) -> None:
        known = FigureCanvasBase.get_supported_filetypes()
        if self.format not in known:
            raise ValueError(
                f"Expected `format` to be one of {sorted(known)}. "
                f"Received: format={self.format!r}"
            )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._last_batch = -1

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.per == "batch":
            # With `steps_per_execution`, several batches end at once.
            self._waiting += batch - self._last_batch
            self._last_batch = batch
            if self._waiting >= self.every:
                self._waiting %= self.every
                self._draw()  # reads the model, which needs a copy on JAX

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.per == "epoch" and (epoch + 1) % self.every == 0:
            self._draw()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._draw()
        if self.gif and self.directory:
            for name, last in self._drawn.items():
                self._animate(self.directory, name, last)
        if self.log_dir:
            self._log.close()

    @staticmethod
    def _animate(directory: pathlib.Path, name: str, last: int) -> None:
        path = directory / f"{name}.gif"
        with _pictures.warning_instead(path):
            files = _pictures.frames_of(directory, name, last)
            if files:
                _pictures.animate(path, files)

    def _layers(self) -> dict[str, LocalLearningLayer]:
        """The layers to draw, at least one, by their names in the logs."""
        known = named(local_layers(self.model))
        layers = {
            name: layer
            for name, layer in known.items()
            if self.layer in (None, name)
            and layer.built
            and "kernel" in layer.state
        }
        if not layers:
            raise ValueError(
                "Expected a model with a local layer that has a `kernel`. "
                f"Received: layer={self.layer!r}, a model with {list(known)}"
            )
        images = {
            name: layer
            for name, layer in layers.items()
            if self._makes_image(layer)
        }
        if not images:
            self._image_shape(next(iter(layers.values())))
        return images

    def _image_shape(self, layer: LocalLearningLayer) -> tuple[int, ...]:
        given = self.plot_arguments.get("image_shape")
        patch = layer.kernel_image_shape if given is None else None
        if patch is not None and len(patch) > 3:
            raise ValueError(
                f"Expected `image_shape` for the patches of {layer.name}, "
                f"which have more than two axes. Received: patches of {patch}"
            )
        if patch is not None and len(patch) == 3 and patch[2] not in (1, 3):
            return tuple(patch[:2])
        inputs = layer.state["kernel"].shape[0]
        return fit_image_shape(inputs, given if patch is None else patch)

    def _makes_image(self, layer: LocalLearningLayer) -> bool:
        try:
            return bool(self._image_shape(layer))
        except ValueError:
            return False

    def _draw(self) -> None:
        """Draws the layers that have learned since the last image."""
        layers = self._layers()
        several = len(layers) > 1 or getattr(self.model, "_is_stage", False)
        for name, layer in layers.items():
            file = name if several else "weights"
            batches = int(keras.ops.convert_to_numpy(layer.iterations))
            if self._drawn.get(file) == batches:
                continue
            self._drawn[file] = batches
            image_shape = self._image_shape(layer)
            figure = plot_weights(
                _mean_of_channels(layer.state["kernel"], image_shape),
                **{
                    "title": f"{name} after {batches:,} batches",
                    **self.plot_arguments,
                    "image_shape": image_shape,
                },
            )
            self._publish(file, batches, figure, len(image_shape) == 2)

    def _publish(
        self, name: str, batches: int, figure: Figure, palette: bool
    ) -> None:
        image = _pictures.draw(figure)
        png = _pictures.encode(image, palette)
        if self.directory:
            path = self.directory / f"{name}_{batches:08d}.{self.format}"
            with _pictures.warning_instead(path):
                if self.format == "png":
                    path.write_bytes(png)
                else:
                    figure.savefig(path)
        if self.log_dir:
            tensorflow = self._tensorflow
            with (
                _pictures.warning_instead(
                    self.log_dir / name, tensorflow.errors.OpError
                ),
                self._log.as_default(),
            ):
                tensorflow.summary.image(
                    name, np.asarray(image)[None], step=batches
                )
                self._log.flush()
        if self._ipython:
            picture = self._ipython.Image(data=png)
            if name in self._cells:
                self._cells[name].update(picture)
            else:
                cell = self._ipython.display(picture, display_id=True)
                self._cells[name] = cell


def _mean_of_channels(kernel: Any, image_shape: tuple[int, ...]) -> np.ndarray:
    """The kernel, averaged over channels if they cannot be shown as colours."""
    kernel = keras.ops.convert_to_numpy(kernel)
    pixels = math.prod(image_shape)
    if pixels == len(kernel):
        return kernel
    return kernel.reshape(pixels, -1, kernel.shape[-1]).mean(axis=1)
