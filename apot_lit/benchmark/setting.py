"""What all measurements share: the checked configuration, the device, images and networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.benchmark.timing import Timer
from apot_lit.data.augment import Augmentation
from apot_lit.data.datamodule import build_datamodule
from apot_lit.data.known import OfficialSet
from apot_lit.data.loader import BatchLoader
from apot_lit.data.options import DataOptions
from apot_lit.data.sources import load_set
from apot_lit.errors import UserError
from apot_lit.models.build import build_network
from apot_lit.models.input import PixelInput
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.training.trainer import find_compiler

SCHEMES = {"float": {"bit": FULL_PRECISION}, "uniform": {"power": 0}, "apot": {"power": 1}}
STANDARD_BIT = 5
WORKERS = 2


@dataclass(frozen=True)
class Setting:
    """Configuration of a benchmark, and what it takes to measure.

    Attributes:
        config: plain configuration with the keys of `apot_lit.config.schemas.BenchmarkConfig`.
        device: where networks and images lie.
        timer: repeats and clock.
        compile: whether to measure compiled variants as well.
    """

    config: Mapping[str, Any]
    device: torch.device
    timer: Timer
    compile: bool

    @property
    def pixel_input(self) -> PixelInput:
        """What float networks begin with."""
        return PixelInput(self.config["data"]["mean"], self.config["data"]["std"])

    def images(self, split: OfficialSet, count: int) -> tuple[Tensor, Tensor]:
        """The first images and labels of an official set, on the device."""
        images, labels = load_set(DataOptions(**self.config["data"]), split)
        return images[:count].to(self.device), labels[:count].to(self.device)

    def loader(self, split: OfficialSet, count: int, batch_size: int, train: bool = False) -> BatchLoader:
        """The project's loader of the first images of an official set; flips them in training."""
        images, labels = self.images(split, count)
        indices = torch.arange(count, device=self.device)
        return BatchLoader(images, labels, indices, batch_size, train=train, augmentation=Augmentation(flip=train))

    def network(self, model: str, scheme: str, bit: int = STANDARD_BIT, stem: str = "reference") -> nn.Module:
        """A network of the configured width on the device, with the same initial weights every time."""
        torch.manual_seed(self.config["seed"])
        quant = {"bit": bit, **SCHEMES[scheme]}
        options = {"name": model, "width": self.config["width"], "stem": stem}
        return build_network({"model": options, "quant": quant, "data": self.config["data"]}).to(self.device)


def build_setting(config: Mapping[str, Any]) -> Setting:
    """Checks a configuration and chooses the device.

    Raises:
        UserError: for a value outside what is allowed, or a GPU that is not there.
    """
    build_datamodule(config)  # refuses options of the data before anything is measured
    device = _device(config["device"])
    timer = Timer(config["repeats"])
    if device.type == "cuda":
        timer = Timer(config["repeats"], synchronize=torch.cuda.synchronize)
    return Setting(config, device, timer, config["compile"] and find_compiler() is not None)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: this machine has no CUDA GPU that torch can use; try device=cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
