"""What all measurements share: the checked configuration, the device, images and networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.benchmark.timing import Timer
from apot_lit.build import build_datamodule, build_network
from apot_lit.data.augment import Augmentation
from apot_lit.data.embedded import SET_SIZES, OfficialSet, load_idx_pair
from apot_lit.data.loader import BatchLoader
from apot_lit.errors import UserError
from apot_lit.models import ARCHITECTURES
from apot_lit.models.normalisation import Normalisation
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.trainers import find_compiler

DEVICES = ("auto", "cpu", "cuda")
BITS = range(2, 9)
SCHEMES = {"float": {"bit": FULL_PRECISION}, "uniform": {"power": 0}, "apot": {"power": 1}}
STANDARD_BIT = 5
WORKERS = 2


@dataclass(frozen=True)
class Setting:
    """Configuration of a benchmark, and what it takes to measure.

    Attributes:
        config: plain configuration with the keys of `apot_lit.config.BenchmarkConfig`.
        device: where networks and images lie.
        timer: repeats and clock.
        compile: whether to measure compiled variants as well.
    """

    config: Mapping[str, Any]
    device: torch.device
    timer: Timer
    compile: bool

    @property
    def normalisation(self) -> Normalisation:
        """The normalisation of the images."""
        return Normalisation(self.config["data"]["mean"], self.config["data"]["std"])

    def images(self, split: OfficialSet, count: int) -> tuple[Tensor, Tensor]:
        """The first images and labels of an official set, on the device."""
        images, labels = load_idx_pair(Path(self.config["data"]["data_dir"]), split)
        return images[:count].to(self.device), labels[:count].to(self.device)

    def loader(self, split: OfficialSet, count: int, batch_size: int, train: bool = False) -> BatchLoader:
        """The project's loader of the first images of an official set; flips them in training."""
        images, labels = self.images(split, count)
        indices = torch.arange(count, device=self.device)
        return BatchLoader(
            images, labels, indices, batch_size, self.normalisation, train=train, augmentation=Augmentation(flip=train)
        )

    def network(self, model: str, scheme: str, bit: int = STANDARD_BIT) -> nn.Module:
        """A network of the configured width on the device, with the same initial weights every time."""
        torch.manual_seed(self.config["seed"])
        quant = {"bit": bit, **SCHEMES[scheme]}
        network = build_network({"name": model, "width": self.config["width"]}, quant, self.normalisation.step)
        return network.to(self.device)


def build_setting(config: Mapping[str, Any]) -> Setting:
    """Checks a configuration and chooses the device.

    Raises:
        UserError: for a value outside what is allowed, or a GPU that is not there.
    """
    for key, high in (
        ("repeats", None),
        ("width", None),
        ("projection_elements", None),
        ("pipeline_images", SET_SIZES["train"]),
        ("evaluation_images", SET_SIZES["test"]),
    ):
        if config[key] < 1 or (high is not None and config[key] > high):
            raise UserError(f"{key}={config[key]}: must be {'at least 1' if high is None else f'from 1 to {high}'}")
    _check_list("models", config["models"], tuple(ARCHITECTURES))
    for key in ("apot_bits", "uniform_bits", "compile_bits"):
        _check_list(key, config[key], tuple(BITS), may_be_empty=key == "compile_bits")
    build_datamodule(config["data"], config["seed"])  # refuses options of the data before anything is measured
    device = _device(config["device"])
    timer = Timer(config["repeats"])
    if device.type == "cuda":
        timer = Timer(config["repeats"], synchronize=torch.cuda.synchronize)
    return Setting(config, device, timer, config["compile"] and find_compiler() is not None)


def _device(name: str) -> torch.device:
    if name not in DEVICES:
        raise UserError(f"device={name}: must be one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: this machine has no CUDA GPU that torch can use; try device=cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _check_list(key: str, values: list[Any], allowed: tuple[Any, ...], may_be_empty: bool = False) -> None:
    choices = ", ".join(map(str, allowed))
    if not values and not may_be_empty:
        raise UserError(f"{key}=[]: must name at least one of {choices}")
    for value in values:
        if value not in allowed:
            raise UserError(f"{key}: {value} must be one of {choices}")
    if len(set(values)) < len(values):
        raise UserError(f"{key}={values}: names one of them twice")
