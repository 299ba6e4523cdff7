"""A network from a checkpoint, a packed file or an ONNX model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from apot_lit.data.sources import placed
from apot_lit.errors import UserError
from apot_lit.export.onnx_engine import OnnxEngine
from apot_lit.export.packed_engine import PackedEngine
from apot_lit.installed import only_in_clone
from apot_lit.predict.expected import Expected, expected_by_shape, expected_of
from apot_lit.predict.float_engine import FloatEngine
from apot_lit.stored.needs import require_packages
from apot_lit.stored.packed import packed_config
from apot_lit.stored.trained import data_options, read_any_trained

Array = npt.NDArray[Any]


class Engine(Protocol):
    """Something that runs a trained network."""

    def logits(self, pixels: Array) -> Array:
        """Logits ``[N, classes]`` of uint8 pixels ``[N, C, H, W]``."""
        ...

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """Logits, and by layer the codes ``[N, C, H, W]`` or ``[N, C]`` of its input."""
        ...


class Opened(NamedTuple):
    """What runs a network.

    Attributes:
        engine: runs it.
        logit_scale: what 1 in its logits stands for: 1 in floats, a step in integers.
        expected: what it reads.
    """

    engine: Engine
    logit_scale: float
    expected: Expected


def open_engine(config: Mapping[str, Any]) -> Opened:
    """Opens what ``ckpt_path`` names: checkpoints run in floats, packed files and ONNX models in integers.

    Args:
        config: plain configuration with the keys of `apot_lit.config.schemas.PredictConfig`.

    Raises:
        UserError: if it can't be read.
    """
    path = Path(config["ckpt_path"])
    where = f"ckpt_path={path}"
    if config["data_dir"] is not None and not Path(config["data_dir"]).is_dir():
        raise UserError(f"data_dir={config['data_dir']}: there is no such directory")
    if path.suffix not in (".onnx", ".safetensors"):
        digits = placed({}, config)["data_dir"]
        trained = read_any_trained(config["ckpt_path"], config["model"], config["quant"], digits)
        return Opened(FloatEngine(trained.network.eval()), 1.0, _expected(trained.config, config, where))
    if config["model"] is not None or config["quant"]["bit"] is not None:
        raise UserError(f"{where}: carries its own configuration; leave model and quant out")
    kind = "onnx" if path.suffix == ".onnx" else "packed"
    require_packages(kind, where)
    if not path.is_file():
        raise UserError(f"{where}: there is no such file{only_in_clone(path)}")
    if kind == "packed":
        packed, network = PackedEngine(path), packed_config(path)
        integers = packed.executor.network
        # One that was exported from Python has no configuration.
        expected = _expected(network, config, where) if network else expected_by_shape(integers.input_shape, {}, where)
        return Opened(packed, integers.logit_scale, expected)
    onnx = OnnxEngine(path)
    return Opened(onnx, onnx.logit_scale, expected_by_shape(onnx.input_shape, onnx.metadata, where))


def _expected(network: Mapping[str, Any], config: Mapping[str, Any], where: str) -> Expected:
    """What a training's configuration says, its data being where ``data_dir`` says, or else where they were."""
    moved = {} if config["data_dir"] is None else {"data_dir": config["data_dir"]}
    return expected_of(data_options({**network, "data": {**network["data"], **moved}}, where))
