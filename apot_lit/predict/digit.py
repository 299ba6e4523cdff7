"""Makes of a picture what the digits of MNIST are: light ink on black, 20 pixels high, centred on its mass."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from apot_lit.predict.pictures import Pixels

SIZE = 28
"""Height and width of an image."""
BOX = 20
"""Height or width of a digit, whichever is larger."""
_INK = 0.2  # of the strongest ink: what is fainter is taken for the paper's grain
_GRAIN = 16  # grey values: a sheet without stronger ink is blank


def as_digit(pixels: Pixels, invert: bool | None = None, center: bool | None = None) -> Pixels:
    """Brings a picture into the form of MNIST's images.

    Source: LeCun, Cortes, Burges, "The MNIST database": digits were "size normalized to fit in a 20x20 pixel box while
    preserving their aspect ratio" and "centered in a 28x28 image by computing the center of mass of the pixels".

    Args:
        pixels: ``[H, W]`` of grey values, 0 to 255.
        invert: whether the ink is dark on light; None: where the edge of the picture is light.
        center: whether to find the digit, scale it and centre it, else the whole picture becomes 28x28; None: where
            it is not 28x28.

    Returns:
        ``[28, 28]``, ink 255 on 0. A picture without ink is black.
    """
    if invert is None:
        invert = bool(np.median(_edge(pixels)) > 127)
    light = 255 - pixels if invert else pixels
    if center is None:
        center = light.shape != (SIZE, SIZE)
    if not center:
        return np.asarray(Image.fromarray(light).resize((SIZE, SIZE), Image.Resampling.BOX))
    ink = _without_paper(light)
    rows, columns = np.nonzero(ink > _INK * 255)
    if not len(rows):
        return np.zeros((SIZE, SIZE), np.uint8)
    digit = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return _place(_scale(digit))


def _edge(pixels: Pixels) -> Pixels:
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _without_paper(light: Pixels) -> Pixels:
    """The paper becomes 0 and the strongest ink 255."""
    ink = np.clip(light.astype(np.float64) - np.median(_edge(light)), 0, None)
    return _stretch(ink) if ink.max() >= _GRAIN else np.zeros(light.shape, np.uint8)


def _stretch(ink: npt.NDArray[Any]) -> Pixels:
    return np.rint(ink * (255 / max(float(ink.max()), 1e-9))).astype(np.uint8)


def _scale(digit: Pixels) -> Pixels:
    """The larger side becomes `BOX`."""
    height, width = digit.shape
    factor = BOX / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    kind = Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR
    # As floats, and stretched: a thin line of a large picture becomes faint.
    return _stretch(np.asarray(Image.fromarray(digit.astype(np.float32)).resize(size, kind)))


def _place(digit: Pixels) -> Pixels:
    """The centre of mass lies at the centre of the image, as far as the digit stays within it."""
    image = np.zeros((SIZE, SIZE), np.uint8)
    weights: npt.NDArray[np.float64] = digit.astype(np.float64)
    begin = []
    for axis, length in enumerate(digit.shape):
        mass = weights.sum(1 - axis)
        middle = float((mass * (np.arange(length) + 0.5)).sum() / mass.sum())
        begin.append(int(np.clip(round(SIZE / 2 - middle), 0, SIZE - length)))
    image[begin[0] : begin[0] + digit.shape[0], begin[1] : begin[1] + digit.shape[1]] = digit
    return image
