"""The Lightning data module of MNIST."""

import math
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from apot_lit.data.augment import Augmentation
from apot_lit.data.embedded import SET_SIZES, OfficialSet, has_embedded_files, load_idx_pair
from apot_lit.data.loader import BatchLoader
from apot_lit.data.split import split_by_class
from apot_lit.errors import UserError
from apot_lit.models.normalisation import Normalisation

Split = Literal["train", "val", "test"]

MAX_VAL_SPLIT = 59_000
MAX_SEED = 2**32 - 1


class MNISTDataModule(pl.LightningDataModule):
    """MNIST on the training device, split into training, validation and test images.

    The official training set is split by class into training and validation images; which are which depends on
    `split_seed` and `val_split` alone. Each set is moved to the training device once, as 8-bit pixels.

    Args:
        data_dir: Directory of the embedded files (or else of a download by torchvision).
        batch_size: Training images per batch and process, at least 2: batch normalisation cannot train on one.
        eval_batch_size: Images per batch and process in validation, test and `eval_loader`, at least 1.
        val_split: Number of validation images, from 0 (no validation) to 59,000.
        split_seed: Chooses the validation images, from 0 to 2**32 - 1.
        train_images: Trains on that many images only, a stratified choice fixed by `split_seed`; at least 2, at most
            `60,000 - val_split`. None: all of them.
        mean: Normalised pixels are `(p / 255 - mean) / std`; from 0 to 1. The default makes the padding value 0 the
            integer pixel 33, so that a first layer can compute in integers.
        std: See `mean`; positive. The default is the standard deviation of all training pixels.
        flip: Whether to mirror each training image with probability 1/2.
        rotate: Largest angle of a random rotation of each training image in degrees, from 0 to 180.
        translate: Largest random shift of each training image in pixels, from 0 to 28.
        zoom: Training images are scaled by a random factor from `1 - zoom` to `1 + zoom`; from 0 to 0.9.
        shear: Largest angle of a random horizontal shear of each training image in degrees, from 0 to 80.
        seed: Of the order of training images and of their augmentation, from 0 to 2**32 - 1.

    Attributes:
        split_sizes: Number of images in "train", "val" and "test".
        normalisation: The normalisation of every batch.

    Raises:
        UserError: If an argument is out of its range.
    """

    def __init__(
        self,
        data_dir: str | Path,
        batch_size: int = 128,
        eval_batch_size: int = 1000,
        val_split: int = 5000,
        split_seed: int = 0,
        train_images: int | None = None,
        mean: float = 33 / 255,
        std: float = 0.3081,
        flip: bool = False,
        rotate: float = 0.0,
        translate: float = 0.0,
        zoom: float = 0.0,
        shear: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_integer("batch_size", batch_size, 2)
        _check_integer("eval_batch_size", eval_batch_size, 1)
        _check_integer("val_split", val_split, 0, MAX_VAL_SPLIT)
        _check_integer("split_seed", split_seed, 0, MAX_SEED)
        _check_integer("seed", seed, 0, MAX_SEED)
        available = SET_SIZES["train"] - val_split
        if train_images is not None:
            _check_integer("train_images", train_images, 2, available, f" with data.val_split={val_split}")
        if not (_is_finite(mean) and 0 <= mean <= 1):
            raise UserError(f"data.mean={mean}: must be a number from 0 to 1")
        if not (_is_finite(std) and std > 0):
            raise UserError(f"data.std={std}: must be a positive number")
        if not isinstance(flip, bool):
            raise UserError(f"data.flip={flip}: must be true or false")
        for name, value, high in (
            ("rotate", rotate, 180),
            ("translate", translate, 28),
            ("zoom", zoom, 0.9),
            ("shear", shear, 80),
        ):
            if not (_is_finite(value) and 0 <= value <= high):
                raise UserError(f"data.{name}={value}: must be a number from 0 to {high}")

        self.data_dir = Path(data_dir)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.split_seed = split_seed
        self.augmentation = Augmentation(flip, rotate, translate, zoom, shear)
        self.seed = seed
        self.normalisation = Normalisation(mean, std)
        self.split_sizes: dict[Split, int] = {
            "train": available if train_images is None else train_images,
            "val": val_split,
            "test": SET_SIZES["test"],
        }
        self._sets: dict[OfficialSet, tuple[Tensor, Tensor]] = {}
        self._indices: dict[Split, Tensor] = {}

    @property
    def input_step(self) -> float | None:
        """Step `1 / (255 * std)` of the integer grid that normalised pixels lie on.

        None where `255 * mean` is not an integer (within 1e-6).
        """
        return self.normalisation.step

    def prepare_data(self) -> None:
        """Downloads the sets, on one process per node, where the files are not embedded.

        Raises:
            UserError: If the download fails, or only some of the embedded files are there.
        """
        if not has_embedded_files(self.data_dir):
            for name in SET_SIZES:
                load_idx_pair(self.data_dir, name)

    def setup(self, stage: str | None = None) -> None:
        """Loads the sets that the stage needs and moves them to the training device.

        Args:
            stage: "fit", "validate", "test" or "predict"; None loads both sets.

        Raises:
            UserError: If a file is damaged or missing.
        """
        if stage in ("fit", "validate", None):
            self._load("train")
        if stage in ("test", None):
            self._load("test")

    def train_dataloader(self) -> BatchLoader:
        """Returns the shuffled, augmented training images.

        Raises:
            UserError: If there are fewer training images than processes.
        """
        loader = self._loader("train", self.batch_size, train=True)
        if len(loader) == 0:
            raise UserError(
                f"data.train_images={self.split_sizes['train']}: fewer images than the {loader.world_size} processes"
            )
        return loader

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        """Returns the validation images, or an empty list without validation."""
        return self.eval_loader("val") if self.split_sizes["val"] else []

    def test_dataloader(self) -> BatchLoader:
        """Returns the official test images."""
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
        return self._loader(split, self.eval_batch_size, train=False, shared=shared)

    def _loader(self, split: Split, batch_size: int, train: bool, shared: bool = True) -> BatchLoader:
        images, labels = self._load("test" if split == "test" else "train")
        trainer = self.trainer if shared else None
        return BatchLoader(
            images,
            labels,
            self._indices[split],
            batch_size,
            self.normalisation,
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
            images, labels = load_idx_pair(self.data_dir, name)
            if name == "train":
                train, val = split_by_class(
                    labels.numpy(), self.split_sizes["val"], self.split_sizes["train"], self.split_seed
                )
                self._indices["train"] = torch.from_numpy(train).to(device)
                self._indices["val"] = torch.from_numpy(val).to(device)
            else:
                self._indices["test"] = torch.arange(len(labels), device=device)
            self._sets[name] = images.to(device), labels.to(device)
        return self._sets[name]

    def _current_epoch(self) -> int:
        return 0 if self.trainer is None else self.trainer.current_epoch


def _check_integer(name: str, value: Any, low: int, high: int | None = None, condition: str = "") -> None:
    allowed = f"at least {low}" if high is None else f"from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"data.{name}={value}: must be an integer, {allowed}{condition}")
    if value < low or (high is not None and value > high):
        raise UserError(f"data.{name}={value}: must be {allowed}{condition}")


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
