"""A trained network from a checkpoint, a packed file or an ONNX model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from apot_lit.data.sources import placed
from apot_lit.errors import UserError
from apot_lit.export.onnx_engine import OnnxEngine
from apot_lit.export.packed_engine import PackedEngine
from apot_lit.installed import only_in_clone
from apot_lit.predict.float_engine import FloatEngine
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


class Opened(NamedTuple):
    """What runs a network, and what 1 in its logits stands for: 1 in floats, a step in integers."""

    engine: Engine
    logit_scale: float


def open_engine(config: Mapping[str, Any]) -> Opened:
    """Opens what ``ckpt_path`` names: checkpoints run in floats, packed files and ONNX models in integers.

    Args:
        config: plain configuration with the keys of `apot_lit.config.schemas.PredictConfig`.

    Raises:
        UserError: if it can't be read.
    """
    path = Path(config["ckpt_path"])
    if path.suffix not in (".onnx", ".safetensors"):
        digits = placed({}, config)["data_dir"]
        trained = read_any_trained(config["ckpt_path"], config["model"], config["quant"], digits)
        return Opened(FloatEngine(trained.network.eval()), 1.0)
    if config["model"] is not None or config["quant"]["bit"] is not None:
        raise UserError(f"ckpt_path={path}: carries its own configuration; leave model and quant out")
    kind = "onnx" if path.suffix == ".onnx" else "packed"
    require_packages(kind, f"ckpt_path={path}")
    if not path.is_file():
        raise UserError(f"ckpt_path={path}: there is no such file{only_in_clone(path)}")
    if kind == "packed":
        packed = PackedEngine(path)
        return Opened(packed, packed.executor.network.logit_scale)
    onnx = OnnxEngine(path)
    return Opened(onnx, onnx.logit_scale)
