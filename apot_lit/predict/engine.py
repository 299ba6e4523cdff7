"""A trained network from a checkpoint, a packed file or an ONNX model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.engines import OnnxFile, PackedEngine, TorchEngine
from apot_lit.stored.needs import require_packages
from apot_lit.stored.trained import read_any_trained

Array = npt.NDArray[Any]


class Engine(Protocol):
    """Something that runs a trained network."""

    def logits(self, pixels: Array) -> Array:
        """Logits ``[N, classes]`` of uint8 pixels ``[N, 1, 28, 28]``."""
        ...

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """Logits, and by layer the codes ``[N, C, H, W]`` or ``[N, C]`` of its input."""
        ...


def open_engine(config: Mapping[str, Any]) -> Engine:
    """Opens what ``ckpt_path`` names.

    Args:
        config: plain configuration with the keys of `apot_lit.config.schemas.PredictConfig`.

    Raises:
        UserError: if it can't be read.
    """
    path = Path(config["ckpt_path"])
    if path.suffix not in (".onnx", ".safetensors"):
        trained = read_any_trained(config["ckpt_path"], config["model"], config["quant"], config["data_dir"])
        return TorchEngine(trained.network.eval())
    if config["model"] is not None or config["quant"]["bit"] is not None:
        raise UserError(f"ckpt_path={path}: carries its own configuration; leave model and quant out")
    kind = "onnx" if path.suffix == ".onnx" else "packed"
    require_packages(kind, f"ckpt_path={path}")
    if not path.is_file():
        raise UserError(f"ckpt_path={path}: there is no such file")
    return OnnxFile(path) if kind == "onnx" else PackedEngine(path)
