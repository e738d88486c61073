"""Images of figures: rendering, encoding and writing them."""

import contextlib
import functools
import glob
import io
import pathlib
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

GIF_SIDE = 1000
"""Maximum width and height of an animation, in pixels."""


def draw(figure: Figure) -> Image.Image:
    """Renders a figure as an image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.frombuffer(
        "RGBA", canvas.get_width_height(), canvas.buffer_rgba()
    )
    return image.convert("RGB")


def encode(image: Image.Image, few_colors: bool) -> bytes:
    """An image in PNG format, in a sixth of the time with few colours."""
    if few_colors:
        image = image.quantize(palette=_palette(), dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


@functools.cache
def _palette() -> Image.Image:
    """The colours of weights, with and without a sign, and of text."""
    shades = [
        colormaps[name].resampled(n)(range(n), bytes=True)[:, :3].tobytes()
        for name, n in (("RdBu_r", 192), ("Greys", 64))
    ]
    image = Image.new("P", (1, 1))
    image.putpalette(b"".join(shades))
    return image


def frames_of(
    directory: pathlib.Path, name: str, last: int
) -> list[pathlib.Path]:
    """The image files of a layer in their order, up to the number `last`."""
    start = f"{name}_"
    return [
        file
        for file in sorted(directory.glob(f"{glob.escape(start)}*.png"))
        if (number := file.stem.removeprefix(start)).isdigit()
        and int(number) <= last
    ]


def animate(path: pathlib.Path, files: Sequence[pathlib.Path]) -> None:
    """Writes an animation of about ten seconds that pauses at its end.

    It starts with the last frame, which viewers that show no motion display.
    """

    def frame(file: pathlib.Path) -> Image.Image:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        image.thumbnail((GIF_SIDE, GIF_SIDE))
        return image

    with Image.open(files[-1]) as last:
        few_colors = last.mode == "P"
    palette = (
        _palette()
        if few_colors
        else frame(files[-1]).quantize(dither=Image.Dither.NONE)
    )
    order = [files[-1], *files[:-1]]
    frames = (
        frame(file).quantize(palette=palette, dither=Image.Dither.NONE)
        for file in order
    )
    each = min(250, max(20, 10_000 // len(files)))
    next(frames).save(
        path,
        save_all=True,
        append_images=frames,
        duration=[2_000] + [each] * (len(files) - 1),  # milliseconds
        loop=0,
    )


def check_writable(directory: pathlib.Path) -> None:
    """Creates a directory and checks that it is writable."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"some bytes")
    except OSError as error:
        raise OSError(
            f"Expected a directory that is writable. Received: {directory} "
            f"({error})"
        ) from error


@contextlib.contextmanager
def warning_instead(
    path: pathlib.Path, *errors: type[Exception]
) -> Iterator[None]:
    """Turns an error into a warning and leaves no half-written file."""
    known: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except known as error:
        with contextlib.suppress(OSError):
            path.unlink()
        warnings.warn(
            f"{path} could not be written; training continues: {error}",
            stacklevel=3,
        )


def in_notebook() -> bool:
    """Whether this runs in a notebook kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
