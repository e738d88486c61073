"""Many small images in one, pixel by pixel."""

import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ._figures import DPI, color_scale, extremes_and_zero, new_figure

GAP = np.array([224, 224, 224, 255], "uint8")


def draw_mosaic(
    tiles: np.ndarray,
    rows: int,
    columns: int,
    labels: list[str] | None,
    title: str | None,
    side: int,
) -> Figure:
    """A figure of tiles `(units, height, width)` or `(..., width, 3)`."""
    rough = max(rows * tiles.shape[1], columns * tiles.shape[2])
    scale = max(1, round(side / rough))  # pixels per weight
    gap = max(1, round(0.4 * scale))
    colors, shades = _colors(tiles)
    colors = colors.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = colors.shape[1:]
    letter = max(14.0, rough * scale / 70)
    small = min(letter, 0.4 * width)
    strip = 0 if labels is None else math.ceil(1.3 * small)

    pixels = _mosaic(colors, rows, columns, gap, strip)
    figure, axes, bar = _layout(pixels.shape[:2], letter, title)
    image = _PixelImage(axes, interpolation="nearest")
    image.set_data(pixels)
    image.set_extent((*axes.get_xlim(), *axes.get_ylim()))
    axes.add_image(image)
    figure.colorbar(
        shades, cax=bar, ticks=extremes_and_zero(shades), format="%.2g"
    )
    bar.tick_params(labelsize=_points(letter))
    for number, label in enumerate(labels or []):
        row, column = divmod(number, columns)
        axes.text(
            column * (width + gap) + width / 2,
            row * (height + strip + gap) + height + strip / 2,
            label,
            color="black",
            fontsize=_points(small),
            ha="center",
            va="center_baseline",
        )
    return figure


class _PixelImage(AxesImage):
    """An image with the same number of pixels as its axes, which is copied.

    Matplotlib would resample it to the same pixels, which takes most of the
    time of drawing.
    """

    def make_image(
        self, renderer: Any, magnification: float = 1.0, unsampled: bool = False
    ) -> tuple[np.ndarray, float, float, Any]:
        box = self.axes.bbox
        pixels = np.asarray(self.get_array())
        size = round(box.height), round(box.width)
        if magnification == 1 and size == pixels.shape[:2]:
            upwards = np.ascontiguousarray(pixels[::-1])
            return upwards, box.x0, box.y0, None
        return super().make_image(renderer, magnification, unsampled)


def _mosaic(
    tiles: np.ndarray, rows: int, columns: int, gap: int, strip: int
) -> np.ndarray:
    """One image of tiles, with gaps between them and strips for labels."""
    units, height, width = tiles.shape
    pitch = height + strip + gap, width + gap
    framed = np.full((rows * columns, *pitch), GAP.view("uint32"))
    framed[:units, :height, :width] = tiles
    framed[units:] = 0  # transparent
    framed = framed.reshape(rows, columns, *pitch).swapaxes(1, 2)
    mosaic = framed.reshape(rows * pitch[0], columns * pitch[1], 1)
    return mosaic[:-gap, :-gap].view("uint8")


def _colors(tiles: np.ndarray) -> tuple[np.ndarray, ScalarMappable]:
    """Tiles as colours, each four bytes in one number, and their scale."""
    if tiles.ndim == 3:
        scale = color_scale(tiles)
    else:
        known = np.isfinite(tiles)
        low = float(np.min(tiles, where=known, initial=np.inf))
        high = float(np.max(tiles, where=known, initial=-np.inf))
        scale = {"cmap": "gray", "vmin": low, "vmax": high}
        if not low < high:  # one value, or none that is finite
            middle = low if low == high else 0.5
            scale |= {"vmin": middle - 0.5, "vmax": middle + 0.5}
    low, high = scale["vmin"], scale["vmax"]
    levels = (tiles - np.float32(low)) * np.float32(255 / (high - low))
    levels = np.where(np.isnan(levels), 256, levels).round().astype("uint16")
    if tiles.ndim == 3:
        table = colormaps[scale["cmap"]](range(256), bytes=True)
        colors = np.vstack([table, GAP]).view("uint32")[:, 0][levels]
    else:
        unknown = (levels > 255).any(axis=-1, keepdims=True)
        opaque = np.full_like(levels[..., :1], 255)
        colors = np.concatenate([levels, opaque], axis=-1)
        colors = np.where(unknown, GAP, colors).astype("uint8")
        colors = colors.view("uint32")[..., 0]
    return colors, ScalarMappable(Normalize(low, high), scale["cmap"])


def _layout(
    picture: tuple[int, int], letter: float, title: str | None
) -> tuple[Figure, Axes, Axes]:
    """A figure with axes of a size in pixels, and axes for a colour bar."""
    height, width = picture
    pad, bar = round(letter), round(0.8 * letter)
    above = pad if title is None else round(2.2 * letter)
    full = 2 * pad + width + bar + round(4.5 * letter), above + height + pad
    # Slightly more than whole pixels, because rounding could lose one.
    figure = new_figure(*((pixels + 0.01) / DPI for pixels in full))

    def add_axes(
        left: float, bottom: float, width: float, height: float
    ) -> Axes:
        return figure.add_axes(
            (
                left / full[0],
                bottom / full[1],
                width / full[0],
                height / full[1],
            )
        )

    axes = add_axes(pad, pad, width, height)
    axes.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    axes.spines[:].set_visible(False)
    if title is not None:
        axes.set_title(title, fontsize=_points(1.1 * letter), loc="left")
    beside = min(height, max(0.5 * height, 8 * letter))
    bottom = pad + (height - beside) / 2
    return figure, axes, add_axes(2 * pad + width, bottom, bar, beside)


def _points(pixels: float) -> float:
    return pixels * 72 / DPI
