"""The images that a network was trained with, without Lightning."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from apot_lit.data.options import DataOptions
from apot_lit.data.sources import load_set
from apot_lit.data.split import split_by_class


def training_sample(data: Mapping[str, Any], count: int) -> Tensor:
    """The first images of a run's training split, not augmented: uint8 ``[count, C, H, W]``.

    Args:
        data: the section ``data`` of the run's configuration.
        count: how many; all there are if there are fewer.

    Raises:
        UserError: if the files are missing or damaged.
    """
    options = DataOptions(**data)
    images, labels = load_set(options, "train")
    size = options.train_count(len(labels))
    train, _ = split_by_class(labels.numpy(), options.val_split, size, options.split_seed)
    return images[torch.from_numpy(train[:count])]
