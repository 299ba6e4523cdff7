"""Which engine evaluates a network, in which arithmetic."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.integer.network import IntegerNetwork

FLOAT, INTEGER = "float", "integer"
TORCH = "torch"


class Engine(Protocol):
    """Something that runs a network of integers.

    Attributes:
        logit_scale: what 1 in the logits stands for.
        computes: what it computes with, for people.
        seconds: how long it has computed so far.
    """

    logit_scale: float
    computes: str
    seconds: float

    def __call__(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Integer logits ``[N, classes]`` of uint8 pixels ``[N, C, H, W]``."""
        ...


OpenEngine = Callable[[Path | IntegerNetwork, str, int | None], Engine]
"""Opens an export, or makes one of a network: with which engine, on how many threads."""


class EngineClassifier(nn.Module):
    """Classifies by an engine, on the CPU.

    Args:
        engine: what computes.

    Shape:
        uint8 pixels ``[N, C, H, W]`` to logits ``[N, classes]``: float64, which holds the integers in their order.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits of the integers, times what 1 in them stands for."""
        logits = torch.from_numpy(self.engine(images.cpu().contiguous().numpy()))
        return logits.to(images.device).double() * self.engine.logit_scale


def arithmetic_of(config: Mapping[str, Any]) -> str:
    """In which arithmetic to evaluate: unless it is given, torch computes in floats, every other engine in integers.

    Args:
        config: see `apot_lit.evaluation.evaluate.evaluate`.

    Raises:
        UserError: for an arithmetic that the engine does not have.
    """
    given: str | None = config["arithmetic"]
    if config["engine"] == TORCH:
        return given or FLOAT
    if given == FLOAT:
        raise UserError(f"arithmetic=float: engine={config['engine']} computes in integers; leave arithmetic out")
    return INTEGER


def export_path(config: Mapping[str, Any]) -> Path | None:
    """The export that is to be evaluated: a directory of C source or an ONNX file; None for anything else.

    Args:
        config: see `apot_lit.evaluation.evaluate.evaluate`.

    Raises:
        UserError: for options that an export can't be evaluated with.
    """
    path = Path(config["ckpt_path"])
    run = path.is_dir() and config["engine"] == TORCH and not (path / "network.h").exists()
    if run or (not path.is_dir() and path.suffix != ".onnx"):
        return None
    where, engine = f"ckpt_path={path}", "c" if path.is_dir() else "onnx"
    if not path.exists():
        raise UserError(f"{where}: there is no such file")
    if config["engine"] != engine:
        raise UserError(f"{where}: is no checkpoint; an export of this kind is evaluated with engine={engine}")
    if config["model"] is not None or config["quant"]["bit"] is not None:
        raise UserError(f"{where}: is a whole network; leave model and quant out")
    if config["export"]["stream_bit"] is not None:
        raise UserError(f"export.stream_bit={config['export']['stream_bit']}: {path} has its own; leave it out")
    if config["split"] != "test":
        raise UserError(f"split={config['split']}: {path} does not say which images it was trained on; give split=test")
    return path
