"""The images that a network was trained with, without Lightning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apot_lit.data.embedded import load_idx_pair
from apot_lit.data.options import DataOptions
from apot_lit.data.split import split_by_class


def training_sample(data: Mapping[str, Any], count: int) -> Tensor:
    """The first images of a run's training split, not augmented: uint8 ``[count, 1, 28, 28]``.

    Args:
        data: the section ``data`` of the run's configuration.
        count: how many; all there are if there are fewer.

    Raises:
        UserError: if the files are missing or damaged.
    """
    options = DataOptions(**data)
    images, labels = load_idx_pair(Path(options.data_dir), "train", options.download, options.source)
    size = options.available_images if options.train_images is None else options.train_images
    train, _ = split_by_class(labels.numpy(), options.val_split, size, options.split_seed)
    return images[torch.from_numpy(train[:count])]
