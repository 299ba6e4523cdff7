"""Networks of integers outside torch, for evaluations: an export, or one that is made of a network for the moment."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.c_library import CLibrary
from apot_lit.export.c_source import write_c
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.integer.network import IntegerNetwork
from apot_lit.quant.cpu.library import find_c_compiler
from apot_lit.stored.needs import require_packages

Array = npt.NDArray[Any]

ENGINES = ("c", "onnx")


class Exported:
    """Runs an export, and counts the seconds that this takes.

    Args:
        logits: integer logits ``[N, classes]`` of uint8 pixels ``[N, C, H, W]``.
        logit_scale: what 1 in the logits stands for.
        computes: what it computes with, for people.

    Attributes:
        seconds: within the engine, so far.
    """

    def __init__(self, logits: Callable[[Array], Array], logit_scale: float, computes: str) -> None:
        self._logits, self.logit_scale, self.computes = logits, logit_scale, computes
        self.seconds = 0.0

    def __call__(self, pixels: Array) -> Array:
        """Returns the logits."""
        started = time.perf_counter()
        found = self._logits(pixels)
        self.seconds += time.perf_counter() - started
        return found


def open_exported(source: Path | IntegerNetwork, engine: str, threads: int | None) -> Exported:
    """Opens an export, or exports a network to a directory that is gone when this returns.

    Args:
        source: a directory of C source, an ONNX file, or a network.
        engine: one of `ENGINES`.
        threads: of onnxruntime, None for its default; C runs on one.

    Raises:
        UserError: if the engine is not installed, or the export is missing, damaged or of something else.
    """
    require_packages(engine, f"engine={engine}")
    if engine == "c" and find_c_compiler() is None:
        raise UserError("engine=c: needs a C compiler (cc or $CC)")
    if isinstance(source, Path):
        return _open(source, engine, threads)
    with tempfile.TemporaryDirectory() as directory:
        return _open(_write(source, Path(directory) / "network.onnx", engine), engine, threads)


def _write(network: IntegerNetwork, path: Path, engine: str) -> Path:
    if engine == "c":
        write_c(fold_batch_norms(network), "evaluation", path.with_suffix(""))
        return path.with_suffix("")
    from apot_lit.export.onnx_model import build_onnx  # late: C needs no ONNX

    path.write_bytes(build_onnx(network, {}).SerializeToString())
    return path


def _open(path: Path, engine: str, threads: int | None) -> Exported:
    if engine == "c":
        library = CLibrary(path)
        session = library.session(library.images)
        return Exported(session.classify, library.logit_scale, library.kernels)
    from apot_lit.export.onnx_engine import OnnxEngine

    onnx = OnnxEngine(path, threads)
    return Exported(onnx.logits, onnx.logit_scale, "onnxruntime")
