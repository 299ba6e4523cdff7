"""Images per second of exported networks, against the float32 network and torch."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from apot_lit.benchmark.benchmark_tables import INFERENCE_BASE
from apot_lit.benchmark.setting import Setting
from apot_lit.benchmark.timing import Timer, ratio, summary
from apot_lit.export.c_source import write_c
from apot_lit.export.engines import CEngine, OnnxEngine
from apot_lit.export.onnx_model import build_onnx
from apot_lit.graph.trace import build_steps
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.stored.packed import save_packed

BATCHES, THREADS = (1, 128), (1, 2)
_SHAPE = (1, 28, 28)
_C_IMAGES = 200


def measure_inference(setting: Setting) -> dict[str, Any]:
    """Times integer ONNX against float32 ONNX of the same network, both in onnxruntime, torch eager, and the C program.

    Networks are untrained: time does not depend on what they say. The C program runs one image at a time on one
    thread, its start and the transfer of images included.

    Returns:
        ``rows`` with images per second and ``ratio`` (time of float32 ONNX over that of the row: above 1 is faster),
        and ``sizes`` with the bytes of each packed network over those of its float32 weights.
    """
    config = setting.config
    images, _ = setting.images("test", max(*BATCHES, _C_IMAGES))
    rows, sizes = [], []
    for model in config["models"]:
        networks = [("apot", bit) for bit in config["apot_bits"]] + [("uniform", bit) for bit in config["uniform_bits"]]
        for scheme, bit in networks:
            print(f"inference: {model} {scheme} {bit} bits", flush=True)
            quantized = setting.network(model, scheme, bit).eval()
            full = setting.network(model, "float", FULL_PRECISION).eval()
            with tempfile.TemporaryDirectory() as directory:
                exports = _Exports(Path(directory), quantized, full)
                for threads, batch in product(THREADS, BATCHES):
                    calls = exports.calls(images[:batch], threads)
                    if (batch, threads) == (1, 1):
                        calls["C"] = partial(exports.c.logits, images[:_C_IMAGES].numpy())
                    times = _timed(setting.timer, calls, threads)
                    for name, values in times.items():
                        count = _C_IMAGES if name == "C" else batch
                        per_image = [value / count for value in values]
                        rows.append(
                            {
                                "model": model,
                                "scheme": scheme,
                                "bit": bit,
                                "engine": name,
                                "batch": batch,
                                "threads": threads,
                                "images_per_second": 1000 / summary(per_image)["median"],
                                "ratio": ratio([value / batch for value in times[INFERENCE_BASE]], per_image),
                            }
                        )
                sizes.append({"model": model, "scheme": scheme, "bit": bit, "share": exports.packed_share(config)})
    return {"onnxruntime": version("onnxruntime"), "rows": rows, "sizes": sizes}


class _Exports:
    """One network in all its forms."""

    def __init__(self, directory: Path, quantized: nn.Module, full: nn.Module) -> None:
        import onnx

        self.directory, self.quantized, self.full = directory, quantized, full
        self.steps = {name: build_steps(network) for name, network in (("integer", quantized), ("float", full))}
        for name, steps in self.steps.items():
            onnx.save(build_onnx(steps, _SHAPE, {}), directory / f"{name}.onnx")
        write_c(self.steps["integer"], _SHAPE, "benchmark", directory / "c")
        self.c = CEngine(directory / "c", self.steps["integer"], _SHAPE)

    def calls(self, images: torch.Tensor, threads: int) -> dict[str, Callable[[], object]]:
        """What is timed, by name."""
        pixels = np.ascontiguousarray(images.numpy())
        engines = {
            name: OnnxEngine(self.directory / f"{kind}.onnx", self.steps[kind], threads)
            for name, kind in (("integer ONNX", "integer"), (INFERENCE_BASE, "float"))
        }
        return {
            **{name: partial(engine.logits, pixels) for name, engine in engines.items()},
            "quantised torch": lambda: self.quantized(images),
            "float32 torch": lambda: self.full(images),
        }

    def packed_share(self, config: Mapping[str, Any]) -> float:
        """Bytes of the packed file over those of the float32 parameters and statistics."""
        path = self.directory / "network.safetensors"
        save_packed(self.quantized, {"data": dict(config["data"]), "model": {}, "quant": {}}, path)
        state = self.full.state_dict().values()
        return path.stat().st_size / sum(tensor.numel() * tensor.element_size() for tensor in state)


def _timed(timer: Timer, calls: Mapping[str, Callable[[], object]], threads: int) -> dict[str, list[float]]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            return timer.interleaved(calls)
    finally:
        torch.set_num_threads(before)
