"""What a network reads and what its classes are called; pictures brought into that form."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from apot_lit.data.options import DataOptions
from apot_lit.data.sources import class_names
from apot_lit.errors import UserError
from apot_lit.predict.digit import SIZE, as_digit
from apot_lit.predict.pictures import Pixels

DIGITS = "mnist"
"""The data set whose pictures are made to look like its images; those of others are only scaled."""


class Expected(NamedTuple):
    """What a network was trained on.

    Attributes:
        shape: channels, 1 or 3, height and width of its images.
        digits: whether these are MNIST's.
        class_names: of all classes; None where they have numbers alone.
    """

    shape: tuple[int, int, int]
    digits: bool
    class_names: Sequence[str] | None

    @property
    def in_colour(self) -> bool:
        """Whether images have colours."""
        return self.shape[0] == 3

    def names(self, classes: int) -> list[str]:
        """What so many classes are called: by their numbers where there are not as many names."""
        known = self.class_names or ()
        return list(known) if len(known) == classes else [str(label) for label in range(classes)]


def expected_of(options: DataOptions) -> Expected:
    """What the options of a training say."""
    shape = (options.channels, options.size, options.size)
    return Expected(shape, options.source == DIGITS, class_names(options))


def expected_by_shape(shape: Sequence[int], metadata: Mapping[str, str], where: str) -> Expected:
    """What is known of a network by the shape of its input and what its file says of the data.

    Args:
        shape: channels, height and width.
        metadata: texts, perhaps with ``source`` and ``classes``; without, images of MNIST's shape count as its digits.
        where: the file, for the message.

    Raises:
        UserError: for channels that no picture has, and for texts that are not as this project writes them.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise UserError(f"{where}: reads images of {channels} channels; pictures have 1 or 3")
    try:
        names = json.loads(metadata["classes"]) if "classes" in metadata else None
    except ValueError:
        names = ()
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UserError(f"{where}: its metadata are not as this project writes them (classes)")
    digits = metadata.get("source", DIGITS) == DIGITS and tuple(shape) == (1, SIZE, SIZE)
    return Expected((channels, height, width), digits, names)


def as_expected(pixels: Pixels, expected: Expected, invert: bool | None, center: bool | None) -> Pixels:
    """Brings a picture into the form of a network's images.

    One of a digit is treated as `as_digit` says, with ``center=true`` also for other networks that read what MNIST's
    images are like. Every other picture is scaled until it covers the image, and cropped to it at its centre.

    Args:
        pixels: ``[H, W]``, in colour ``[H, W, 3]``.
        expected: what the network reads.
        invert: whether to turn light into dark; None: digits whose edge is light.
        center: whether to find a digit, scale it and centre it; None: digits that are not 28x28.

    Returns:
        ``[C, H, W]``.

    Raises:
        UserError: if a digit is to be found for a network that reads other images.
    """
    channels, height, width = expected.shape
    if expected.digits:
        return as_digit(pixels, invert, center)[None]
    if invert:
        pixels = 255 - pixels
    if center:
        if expected.shape != (1, SIZE, SIZE):
            form = "x".join(map(str, expected.shape))
            raise UserError(f"center=true: makes digits of 1x{SIZE}x{SIZE} pixels, the network reads {form}")
        return as_digit(pixels, False, True)[None]
    fitted = np.asarray(ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(fitted.reshape(height, width, channels).transpose(2, 0, 1))
