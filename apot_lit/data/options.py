"""The options of the data: every default of the section ``data`` stands here."""

import re
from dataclasses import dataclass

from apot_lit.data.known import KNOWN, OfficialSet
from apot_lit.quant.ranges import TRUTH, Integer, Number, OneOf, check_options, option, or_null, required

SET_SIZES: dict[OfficialSet, int] = {"train": 60_000, "test": 10_000}
"""Number of images in each official set."""

SEED = Integer(0, 2**32 - 1)
BATCH_SIZE = Integer(1, SET_SIZES["train"])


@dataclass(frozen=True)
class Name:
    """Names that a directory may have."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.+-]{1,60}", value) is not None

    def __str__(self) -> str:
        return "a name of at most 60 letters, digits and _ . + -"


@dataclass(frozen=True)
class DataOptions:
    """Which images are trained on, and how.

    Attributes:
        data_dir: Directory of the data set's files (or else of a download by torchvision).
        name: What the data set is called in results; those of two names never stand in one row of a table.
        source: How its files are read: one of `KNOWN`.
        download: Whether to download the files to `data_dir` where it has none.
        batch_size: Training images per batch and process, from 2 (batch normalisation cannot train on one) to 60,000.
        eval_batch_size: Images per batch and process in validation, test and `eval_loader`, from 1 to 60,000.
        val_split: Number of validation images, from 0 (no validation) to 59,000.
        split_seed: Chooses the validation images, from 0 to 2**32 - 1.
        train_images: Trains on that many images only, a stratified choice fixed by `split_seed`; at least 2, at most
            `60,000 - val_split`. None: all of them.
        mean: Of the pixels, for the network's input (`apot_lit.models.PixelInput`), from 0 to 1. The default makes
            zero padding the integer pixel 33, so that a first layer computes in small integers.
        std: See `mean`; from 0.001 to 1000. The default is the standard deviation of all training pixels.
        flip: Whether to mirror each training image with probability 1/2.
        rotate: Largest angle of a random rotation of each training image in degrees, from 0 to 180.
        translate: Largest random shift of each training image in pixels, from 0 to 28.
        zoom: Training images are scaled by a random factor from `1 - zoom` to `1 + zoom`; from 0 to 0.9.
        shear: Largest angle of a random horizontal shear of each training image in degrees, from 0 to 80.

    Raises:
        ValueError: If a value is out of its range; one line that begins with the name of the attribute.
    """

    data_dir: str = required("directory of the data set's files")
    name: str = option("mnist", Name(), "what the data set is called in results")
    source: str = option("mnist", OneOf(tuple(KNOWN)), "how its files are read")
    download: bool = option(False, TRUTH, "whether to download them there if they are missing")
    batch_size: int = option(128, Integer(2, SET_SIZES["train"]), "training images per step and process")
    eval_batch_size: int = option(1000, BATCH_SIZE, "images per batch in validation and test")
    val_split: int = option(5000, Integer(0, 59_000), "images kept out of training for validation")
    split_seed: int = option(0, SEED, "chooses the validation images")
    train_images: int | None = option(
        None, or_null(Integer(2, SET_SIZES["train"])), "train on so many images only; null: all"
    )
    mean: float = option(33 / 255, Number(0, 1), "of the pixels, subtracted by the network's input")
    std: float = option(0.3081, Number(0.001, 1000), "of the pixels, the network's input is divided by")
    flip: bool = option(False, TRUTH, "mirror training images at random")
    rotate: float = option(0.0, Number(0, 180), "largest random rotation in degrees")
    translate: float = option(0.0, Number(0, 28), "largest random shift in pixels")
    zoom: float = option(0.0, Number(0, 0.9), "largest random change of size, 0.1 for 10 %")
    shear: float = option(0.0, Number(0, 80), "largest random shear in degrees")

    def __post_init__(self) -> None:
        check_options(self)
        if self.train_images is not None and self.train_images > self.available_images:
            raise ValueError(
                f"train_images={self.train_images}: must be null or an integer from 2 to {self.available_images} "
                f"with data.val_split={self.val_split}"
            )

    @property
    def available_images(self) -> int:
        """Images of the official training set that are not for validation."""
        return SET_SIZES["train"] - self.val_split
