"""What packed networks take on a Cortex-M3: flash, memory, instructions; and whether it says what Python says."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apot_lit.benchmark.emulation import Emulated, emulate, require_emulator, tool_versions
from apot_lit.benchmark.setting import Setting
from apot_lit.errors import UserError
from apot_lit.export.micro_source import write_micro
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import IntegerNetwork
from apot_lit.runs.protocol import row
from apot_lit.runs.text import counted
from apot_lit.stored.packed import read_packed

BOARD = "mps2-an385, Cortex-M3"
OPTIMIZATIONS = ("-Os", "-O2")
TEST_IMAGES = 10_000
_BATCH = 500
# Instructions hardly differ between images, so the second program reads few of them.
_FEW_IMAGES = 100


def measure_microcontroller(setting: Setting) -> dict[str, Any]:
    """Compiles every packed network of some directories for a Cortex-M3 and runs it in an emulated board.

    Accuracy is that of the reference executor on all test images; the program compiled for size classifies the first
    ``evaluation_images`` of them, all logits of which are compared.

    Returns:
        ``tools``, the versions of compiler and emulator; ``board``; and ``rows``, one for each network.

    Raises:
        UserError: where a tool or a directory is missing.
    """
    require_emulator("benchmark=microcontroller")
    images, labels = setting.images("test", TEST_IMAGES)
    rows = []
    for path in _files(setting.config["microcontroller"]):
        config, _, integers = read_packed(path)
        if integers is None:
            raise UserError(f"{path}: holds no network of integers; an export of it makes a file that does")
        expected = _logits(integers, images)
        emulated = setting.config["evaluation_images"]
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch) / "net"
            write_micro(integers, path.stem, directory)
            arena = _arena(directory)
            programs = {}
            for optimization, count in zip(OPTIMIZATIONS, (emulated, min(emulated, _FEW_IMAGES)), strict=True):
                done = emulate(directory, images[:count].numpy(), optimization)
                programs[optimization] = _program(done, expected[:count])
        kind, model = row(config), config["model"]
        rows.append(
            {
                "file": path.as_posix(),
                **{"model": kind.model, "width": model["width"], "stem": model["stem"]},
                **{"bit": kind.bit, "scheme": kind.scheme, "seed": config["seed"], "packed": path.stat().st_size},
                **{"test_images": len(images), "right": int((expected.argmax(1) == labels.numpy()).sum())},
                **{"arena": arena, "programs": programs},
            }
        )
        print(f"{path}: {programs[OPTIMIZATIONS[0]]} on {counted(emulated, 'image')}", flush=True)
    return {"tools": tool_versions(), "board": BOARD, "rows": rows}


def _files(directories: list[str]) -> list[Path]:
    found = []
    for name in directories:
        paths = sorted(Path(name).glob("*.safetensors"))
        if not paths:
            raise UserError(f"microcontroller={name}: must be a directory with packed networks")
        found += paths
    return found


def _logits(integers: IntegerNetwork, images: torch.Tensor) -> Any:
    executor = Executor(integers)
    return torch.cat([executor(batch) for batch in images.split(_BATCH)]).numpy()


def _arena(directory: Path) -> int:
    lines = (directory / "network.h").read_text().splitlines()
    return int(next(line.split()[2] for line in lines if line.startswith("#define APOT_ARENA_BYTES")))


def _program(done: Emulated, expected: Any) -> Mapping[str, int]:
    return {
        "flash": done.flash,
        "memory": done.memory,
        "stack": done.stack,
        "instructions": done.instructions,
        "images": len(expected),
        "differing_logits": int(np.count_nonzero(done.logits != expected)),
        "differing_predictions": int((done.classes != expected.argmax(1)).sum()),
    }
