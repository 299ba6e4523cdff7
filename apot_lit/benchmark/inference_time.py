"""Images per second of exported networks, against the float32 network and torch."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from apot_lit.benchmark.benchmark_tables import INFERENCE_BASE
from apot_lit.benchmark.c_time import c_calls
from apot_lit.benchmark.setting import Setting
from apot_lit.benchmark.timing import Timer, ratio, summary
from apot_lit.export.onnx_engine import OnnxEngine
from apot_lit.export.onnx_float import build_float_onnx
from apot_lit.export.onnx_model import build_onnx
from apot_lit.graph.trace import build_steps
from apot_lit.integer import to_integers
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.stored.packed import save_packed

BATCHES, THREADS = (1, 128), (1, 2)
_SHAPE = (1, 28, 28)
_CALIBRATION = 200


def measure_inference(setting: Setting) -> dict[str, Any]:
    """Times exported networks of integers, ONNX and C, against float32 ONNX of the same network, and torch eager.

    Networks are untrained: time does not depend on what they say.

    Returns:
        ``kernels``, which instructions each kind of C computes with; ``rows`` with images per second and ``ratio``
        (time of float32 ONNX over that of the row: above 1 is faster); and ``sizes`` with the bytes of each packed
        network over those of its float32 weights.
    """
    config = setting.config
    images, _ = setting.images("test", max(*BATCHES, _CALIBRATION))
    rows, sizes = [], []
    kernels: dict[str, str] = {}
    for model, stem in product(config["models"], config["stems"]):
        networks = [("apot", bit) for bit in config["apot_bits"]] + [("uniform", bit) for bit in config["uniform_bits"]]
        for scheme, bit in networks:
            name_of = {"model": model, "stem": stem, "scheme": scheme, "bit": bit}
            print(f"inference: {model}, stem {stem}, {scheme} {bit} bits", flush=True)
            quantized = setting.network(model, scheme, bit, stem).eval()
            full = setting.network(model, "float", FULL_PRECISION, stem).eval()
            with tempfile.TemporaryDirectory() as directory:
                exports = _Exports(Path(directory), quantized, full, images[:_CALIBRATION])
                kernels = exports.kernels
                for threads, batch in product(THREADS, BATCHES):
                    contenders = exports.contenders(images[:batch], threads)
                    times = _timed(setting.timer, {name: one.call for name, one in contenders.items()}, threads)
                    each = {name: [t / contenders[name].images for t in values] for name, values in times.items()}
                    for name, per_image in each.items():
                        rows.append(
                            {
                                **name_of,
                                "engine": name,
                                "batch": batch,
                                "threads": threads,
                                "images_per_second": 1000 / summary(per_image)["median"],
                                "ratio": ratio(each[INFERENCE_BASE], per_image),
                            }
                        )
                sizes.append({**name_of, "share": exports.packed_share(config)})
    return {"onnxruntime": version("onnxruntime"), "kernels": kernels, "rows": rows, "sizes": sizes}


class _Contender(NamedTuple):
    """What is timed, and how many images one call of it takes."""

    call: Callable[[], object]
    images: int


class _Exports:
    """One network in all its forms."""

    def __init__(self, directory: Path, quantized: nn.Module, full: nn.Module, calibration: Tensor) -> None:
        self.directory, self.quantized, self.full = directory, quantized, full
        self.integers = to_integers(quantized, calibration, fold=False)
        models = {
            "integer ONNX": build_onnx(self.integers, {}),
            INFERENCE_BASE: build_float_onnx(build_steps(full), _SHAPE, {}),
        }
        self.c_calls, self.kernels = c_calls(fold_batch_norms(self.integers), directory / "c")
        self.files = {name: directory / f"{name}.onnx" for name in models}
        for name, model in models.items():
            self.files[name].write_bytes(model.SerializeToString())

    def contenders(self, images: Tensor, threads: int) -> dict[str, _Contender]:
        """All that are timed with some images and threads, by name."""
        pixels, count = np.ascontiguousarray(images.numpy()), len(images)
        engines = {name: OnnxEngine(path, threads) for name, path in self.files.items()}
        # Exported C runs on one thread.
        compiled = self.c_calls(pixels) if threads == 1 else {}
        return {
            **{name: _Contender(partial(engine.logits, pixels), count) for name, engine in engines.items()},
            **{name: _Contender(call, count) for name, call in compiled.items()},
            "quantised torch": _Contender(lambda: self.quantized(images), count),
            "float32 torch": _Contender(lambda: self.full(images), count),
        }

    def packed_share(self, config: Mapping[str, Any]) -> float:
        """Bytes of the packed file over those of the float32 parameters and statistics."""
        path = self.directory / "network.safetensors"
        save_packed(self.quantized, self.integers, {"data": dict(config["data"]), "model": {}, "quant": {}}, path)
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
