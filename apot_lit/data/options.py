"""The options of the data: every default of the section ``data`` stands here."""

import re
from dataclasses import dataclass

from apot_lit.data.known import KNOWN
from apot_lit.quant.ranges import TRUTH, Integer, Number, OneOf, check, check_options, option, or_null, required

IMAGE_FOLDER, TENSORS = "image_folder", "tensors"
SOURCES = (*KNOWN, IMAGE_FOLDER, TENSORS)

SEED = Integer(0, 2**32 - 1)
BATCH_SIZE = Integer(1)


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
        data_dir: Directory of the data set's files (or else of a download by torchvision). Of "tensors" it may be the
            file itself.
        name: What the data set is called in results; those of two names never stand in one row of a table.
        source: How its files are read: a key of `KNOWN`, "image_folder" or "tensors".
        channels: Of the images: 1 grey, 3 in colour.
        size: Height and width of the images.
        classes: Number of classes; labels are below it.
        download: Whether to download the files to `data_dir` where it has none.
        batch_size: Training images per batch and process, from 2 (batch normalisation cannot train on one) to those
            of the training set.
        eval_batch_size: Images per batch and process in validation, test and `eval_loader`.
        val_split: Number of validation images, from 0 (no validation) to all but two.
        test_split: Number of test images that are taken from a folder or file that has no test set of its own.
        split_seed: Chooses the validation images, and the test images of `test_split`, from 0 to 2**32 - 1.
        train_images: Trains on that many images only, a stratified choice fixed by `split_seed`; at least 2, at most
            those that are not for validation. None: all of them.
        mean: Of the pixels of all channels, for the network's input (`apot_lit.models.PixelInput`), from 0 to 1. The
            default makes zero padding the integer pixel 33, so that a first layer computes in small integers.
        std: See `mean`; from 0.001 to 1000. The default is the standard deviation of all training pixels of MNIST.
        flip: Whether to mirror each training image with probability 1/2.
        rotate: Largest angle of a random rotation of each training image in degrees, from 0 to 180.
        translate: Largest random shift of each training image in pixels, from 0 to `size`.
        zoom: Training images are scaled by a random factor from `1 - zoom` to `1 + zoom`; from 0 to 0.9.
        shear: Largest angle of a random horizontal shear of each training image in degrees, from 0 to 80.
        elastic: Strength of a random elastic distortion of each training image, alpha of Simard et al. in pixels, from
            0 (none) to 10,000; see `apot_lit.data.augment.elastic_displacements`.
        elastic_sigma: Standard deviation in pixels of the Gaussian that smooths it, above 0, at most 1024.

    Raises:
        ValueError: If a value is out of its range; one line that begins with the name of the attribute.
    """

    data_dir: str = required("directory of the data set's files")
    name: str = option("mnist", Name(), "what the data set is called in results")
    source: str = option("mnist", OneOf(SOURCES), "how its files are read")
    channels: int = option(1, OneOf((1, 3)), "of the images: 1 grey, 3 in colour")
    size: int = option(28, Integer(4, 1024), "height and width of the images")
    classes: int = option(10, Integer(2, 10_000), "number of classes")
    download: bool = option(False, TRUTH, "whether to download them there if they are missing")
    batch_size: int = option(128, Integer(2), "training images per step and process")
    eval_batch_size: int = option(1000, BATCH_SIZE, "images per batch in validation and test")
    val_split: int = option(5000, Integer(0), "images kept out of training for validation")
    test_split: int = option(0, Integer(0), "images kept for the test, without a test set of its own")
    split_seed: int = option(0, SEED, "chooses the images of val_split and test_split")
    train_images: int | None = option(None, or_null(Integer(2)), "train on so many images only; null: all")
    mean: float = option(33 / 255, Number(0, 1), "of the pixels, subtracted by the network's input")
    std: float = option(0.3081, Number(0.001, 1000), "of the pixels, the network's input is divided by")
    flip: bool = option(False, TRUTH, "mirror training images at random")
    rotate: float = option(0.0, Number(0, 180), "largest random rotation in degrees")
    translate: float = option(0.0, Number(0, 1024), "largest random shift in pixels")
    zoom: float = option(0.0, Number(0, 0.9), "largest random change of size, 0.1 for 10 %")
    shear: float = option(0.0, Number(0, 80), "largest random shear in degrees")
    elastic: float = option(0.0, Number(0, 10_000), "strength of a random elastic distortion in pixels; 0: none")
    elastic_sigma: float = option(4.0, Number(0, 1024, above=True), "deviation of its smoothing in pixels")

    def __post_init__(self) -> None:
        check_options(self)
        if self.translate > self.size:
            raise ValueError(f"translate={self.translate}: must be a number from 0 to {self.size}, the size of images")
        known = KNOWN.get(self.source)
        if known is None:
            return
        for name, value in (("channels", known.channels), ("size", known.size), ("classes", len(known.class_names))):
            check(name, getattr(self, name), OneOf((value,), f" with data.source={self.source}"))
        check("test_split", self.test_split, OneOf((0,), f" with data.source={self.source}, which has a test set"))
        self.check_count(known.sizes["train"])

    def check_count(self, images: int) -> None:
        """Refuses options that a training set of so many images can't fulfil.

        Raises:
            ValueError: one line that begins with the name of the option.
        """
        for name, low, high in (("batch_size", 2, images), ("val_split", 0, images - 2)):
            if getattr(self, name) > high:
                allowed = f"an integer from {low} to {high}, as there are {images} images to train on"
                raise ValueError(f"{name}={getattr(self, name)}: must be {allowed}")
        if self.train_images is not None and self.train_images > images - self.val_split:
            raise ValueError(
                f"train_images={self.train_images}: must be null or an integer from 2 to {images - self.val_split} "
                f"with data.val_split={self.val_split}"
            )

    def train_count(self, images: int) -> int:
        """How many of so many images of the training set are trained on."""
        return images - self.val_split if self.train_images is None else self.train_images
