"""What a user's own images must be like, and a test set taken out of them."""

from pathlib import Path

import torch
from torch import Tensor

from apot_lit.data.known import OfficialSet
from apot_lit.data.split import split_by_class
from apot_lit.errors import UserError

Shape = tuple[int, int, int]
"""Channels, size (height and width) and number of classes."""
Division = tuple[int, int]
"""Number of test images, and the seed that chooses them."""


def checked(images: Tensor, labels: Tensor, shape: Shape, where: str) -> tuple[Tensor, Tensor]:
    """Returns images and labels if they are as the options say.

    Args:
        images: Of any shape.
        labels: int64, of any shape.
        shape: What the options say.
        where: File or directory, for the message.

    Raises:
        UserError: One line for the first thing that is not.
    """
    channels, size, classes = shape
    wanted = [channels, size, size]
    if images.ndim != 4 or list(images.shape[1:]) != wanted:
        raise UserError(
            f"{where}: images have the shape {list(images.shape)}, must have {['N', *wanted]}".replace("'", "")
            + f", by data.channels={channels} data.size={size}"
        )
    if labels.ndim != 1 or len(labels) != len(images):
        raise UserError(f"{where}: labels have the shape {list(labels.shape)}, must have [{len(images)}] as the images")
    if len(images) == 0:
        raise UserError(f"{where}: holds no image")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise UserError(f"{where}: labels are from {low} to {high}, must be from 0 to {classes - 1} by data.classes")
    return images, labels


def divided(
    images: Tensor, labels: Tensor, split: OfficialSet, division: Division, where: Path
) -> tuple[Tensor, Tensor]:
    """Divides images by class into a training and a test set, and returns one of them, in its order.

    Raises:
        UserError: If no number of test images is given, or one that leaves fewer than three to train on.
    """
    count, seed = division
    most = len(labels) - 3
    if not 0 < count <= most:
        why = f"there is no test set of its own, and {len(labels)} images are" if count == 0 else "there are"
        raise UserError(f"data.test_split={count}: must be an integer from 1 to {most}, as {why} in {where}")
    train, test = split_by_class(labels.numpy(), count, len(labels) - count, seed)
    chosen = torch.from_numpy(train if split == "train" else test)
    return images[chosen], labels[chosen]
