"""Pictures in directories of classes."""

import functools
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from apot_lit.data.divide import Division, Shape, checked, divided
from apot_lit.data.idx import one_line
from apot_lit.data.known import OfficialSet
from apot_lit.errors import UserError


@functools.lru_cache(maxsize=4)
def load_folder(place: Path, split: OfficialSet, shape: Shape, division: Division) -> tuple[Tensor, Tensor]:
    """Loads the training or test set from pictures in directories of classes, as torchvision's `ImageFolder` does.

    Every picture is scaled until it covers the square of the size, and cropped to it at its centre.

    Args:
        place: Holds ``train/<class>/`` and perhaps ``test/<class>/``, or ``<class>/`` itself. Labels are the positions
            of the classes in alphabetical order.
        split: "train" or "test".
        shape: Channels and size that pictures get, and the number of classes that there must be.
        division: Number of test images that are taken where there is no test directory, and the seed that chooses them.

    Returns:
        uint8 images `[N, C, H, W]` and int64 labels `[N]`.

    Raises:
        UserError: If there are no such directories, other classes, or a picture that can't be read.
    """
    train, test = _train_directory(place), place / "test"
    if not test.is_dir() or train == place:
        return divided(*_read(train, shape), split, division, place)
    if division[0]:
        raise UserError(f"data.test_split={division[0]}: must be 0, as there is {test}")
    if _subdirectories(test) != _subdirectories(train):
        raise UserError(f"{test}: must have the directories of {train}: {', '.join(_subdirectories(train))}")
    return _read(train if split == "train" else test, shape)


def folder_classes(place: Path) -> list[str]:
    """The classes of a directory of pictures, none if there is no such directory."""
    return _subdirectories(_train_directory(place))


def _train_directory(place: Path) -> Path:
    return place / "train" if (place / "train").is_dir() else place


def _subdirectories(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _read(directory: Path, shape: Shape) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import ImageFolder  # slow to import

    channels, size, classes = shape
    try:
        samples = ImageFolder(str(directory)).samples
    except OSError as error:
        raise UserError(
            f"data.data_dir={directory}: must hold a directory of pictures per class: {one_line(error)}"
        ) from error
    found = len(_subdirectories(directory))
    if found != classes:
        raise UserError(f"data.classes={classes}: must be {found}, the directories in {directory}")
    images = torch.empty(len(samples), channels, size, size, dtype=torch.uint8)
    for position, (path, _) in enumerate(samples):
        images[position] = _picture(path, channels, size)
    return checked(images, torch.tensor([label for _, label in samples]), shape, str(directory))


def _picture(path: str, channels: int, size: int) -> Tensor:
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
            pixels = np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR))
    except (OSError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: can't be read as a picture ({one_line(error)})") from error
    return torch.from_numpy(pixels.copy()).view(size, size, channels).permute(2, 0, 1)
