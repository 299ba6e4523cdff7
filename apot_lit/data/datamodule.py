"""The Lightning data module: images that lie whole on the training device."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from apot_lit.data.augment import Augmentation
from apot_lit.data.known import OfficialSet
from apot_lit.data.loader import BatchLoader
from apot_lit.data.options import SEED, DataOptions
from apot_lit.data.sources import load_set, prepare_set, set_size
from apot_lit.data.split import split_by_class
from apot_lit.errors import UserError, user_values

Split = Literal["train", "val", "test"]


def build_datamodule(config: Mapping[str, Any]) -> "ImageDataModule":
    """Builds the data module from plain configuration.

    Args:
        config: the section ``data`` (options of `DataOptions`) and the key ``seed``.

    Raises:
        UserError: for a value outside what is allowed.
    """
    with user_values("data"):
        options = DataOptions(**config["data"])
    return ImageDataModule(options, config["seed"])


class ImageDataModule(pl.LightningDataModule):
    """Images on the training device as 8-bit pixels, split into training, validation and test images.

    The training set of the data set is split by class into training and validation images; which are which depends on
    `split_seed` and `val_split` alone. Each set is moved to the training device once.

    Args:
        options: See `DataOptions`.
        seed: Of the order of training images and of their augmentation, from 0 to 2**32 - 1.

    Raises:
        UserError: If the seed is out of its range.
    """

    def __init__(self, options: DataOptions, seed: int = 0) -> None:
        super().__init__()
        if seed not in SEED:
            raise UserError(f"seed={seed}: must be {SEED}")
        self.options = options
        self.augmentation = Augmentation(
            **{option.name: getattr(options, option.name) for option in dataclasses.fields(Augmentation)}
        )
        self.seed = seed
        self._sets: dict[OfficialSet, tuple[Tensor, Tensor]] = {}
        self._indices: dict[Split, Tensor] = {}
        self._train_loader: BatchLoader | None = None
        self._position: dict[str, int] | None = None

    @functools.cached_property
    def split_sizes(self) -> dict[Split, int]:
        """Number of images in "train", "val" and "test".

        Raises:
            UserError: If these have to be counted and can't be read, or are fewer than the options take.
        """
        available = set_size(self.options, "train")
        with user_values("data"):
            self.options.check_count(available)
        train, test = self.options.train_count(available), set_size(self.options, "test")
        return {"train": train, "val": self.options.val_split, "test": test}

    def __repr__(self) -> str:
        """Sizes of the splits, and what happens to training images; Lightning's own text needs torch's loaders."""
        sizes = ", ".join(f"{split}={size}" for split, size in self.split_sizes.items())
        batch = f"batch_size={self.options.batch_size}"
        return f"ImageDataModule({sizes}, {batch}, seed={self.seed}, augmentation={self.augmentation})"

    __str__ = __repr__

    def state_dict(self) -> dict[str, int]:
        """Returns the place in the epoch, for a checkpoint.

        Lightning asks loaders for theirs as well, but gives it back only where nothing has asked for the number of
        steps of the training before, as learning-rate schedulers do.
        """
        return {} if self._train_loader is None else self._train_loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Lets the next training loader go on from a place in an epoch."""
        self._position = state_dict or None

    def prepare_data(self) -> None:
        """Downloads the sets, on one process per node, where that is asked for and the files are not there.

        Raises:
            UserError: If the download fails, or only some of the files are there.
        """
        prepare_set(self.options)

    def setup(self, stage: str | None = None) -> None:
        """Loads the training set and moves it to the training device, where a stage needs it.

        The test images are loaded when they are first asked for: Lightning tests on other splits too.

        Args:
            stage: "fit", "validate", "test" or "predict"; None is like "fit".

        Raises:
            UserError: If a file is damaged or missing.
        """
        if stage in ("fit", "validate", None):
            self._load("train")

    def train_dataloader(self) -> BatchLoader:
        """Returns the shuffled, augmented training images.

        Raises:
            UserError: If there are fewer training images than processes.
        """
        loader = self._loader("train", self.options.batch_size, train=True)
        if len(loader) == 0:
            raise UserError(
                f"data.train_images={self.split_sizes['train']}: fewer images than the {loader.world_size} processes"
            )
        if self._position is not None:
            loader.load_state_dict(self._position)
        self._train_loader, self._position = loader, None
        return loader

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        """Returns the validation images, or an empty list without validation."""
        return self.eval_loader("val") if self.split_sizes["val"] else []

    def test_dataloader(self) -> BatchLoader:
        """Returns the test images."""
        return self.eval_loader("test")

    def predict_dataloader(self) -> BatchLoader:
        """Returns the test images."""
        return self.eval_loader("test")

    def eval_loader(self, split: Split, shared: bool = True) -> BatchLoader:
        """Returns a split for evaluation: not augmented, in the order of the official set.

        Works with and without a trainer.

        Args:
            split: "train", "val" or "test".
            shared: Under distributed training, each process gets its share; otherwise all get everything.

        Raises:
            UserError: If there is no such split, or it is empty.
        """
        if split not in self.split_sizes:
            raise UserError(f"split={split}: must be one of {', '.join(self.split_sizes)}")
        if self.split_sizes[split] == 0:
            raise UserError(f"split={split}: there are no validation images with data.val_split=0")
        return self._loader(split, self.options.eval_batch_size, train=False, shared=shared)

    def calibration_images(self, count: int) -> Tensor:
        """Returns the first training images, not augmented: uint8 ``[count, C, H, W]``."""
        images, _ = self._load("train")
        return images[self._indices["train"][:count]]

    def _loader(self, split: Split, batch_size: int, train: bool, shared: bool = True) -> BatchLoader:
        images, labels = self._load("test" if split == "test" else "train")
        trainer = self.trainer if shared else None
        return BatchLoader(
            images,
            labels,
            self._indices[split],
            batch_size,
            train=train,
            augmentation=self.augmentation,
            seed=self.seed,
            epoch=self._current_epoch,
            rank=0 if trainer is None else trainer.global_rank,
            world_size=1 if trainer is None else trainer.world_size,
        )

    def _load(self, name: OfficialSet) -> tuple[Tensor, Tensor]:
        """Returns an official set on the training device, with the indices of its splits in place."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        if name not in self._sets or self._sets[name][0].device != device:
            images, labels = load_set(self.options, name)
            if name == "train":
                train, val = split_by_class(
                    labels.numpy(), self.split_sizes["val"], self.split_sizes["train"], self.options.split_seed
                )
                self._indices["train"] = torch.from_numpy(train).to(device)
                self._indices["val"] = torch.from_numpy(val).to(device)
            else:
                self._indices["test"] = torch.arange(len(labels), device=device)
            self._sets[name] = images.to(device), labels.to(device)
        return self._sets[name]

    def _current_epoch(self) -> int:
        return 0 if self.trainer is None else self.trainer.current_epoch
