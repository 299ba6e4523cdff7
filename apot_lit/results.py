"""What a run leaves behind: result files, and the facts about software and hardware they carry."""

import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf")

_INNERMOST_LIST = re.compile(r"\[[^][{}\"]*\]")  # of numbers: these need no line each


def write_json(path: Path, content: Mapping[str, Any], root: str | Path) -> None:
    """Writes a JSON file in one go: a reader never sees half a file, and an interruption leaves the old one.

    Args:
        path: the file.
        content: plain containers; paths below `root` are written relative to it, so that files can be shared, and
            what is not a finite number as null, since JSON knows no other.
        root: the project's directory.
    """
    partial = path.with_name(f".{path.name}.partial")
    text = json.dumps(_portable(content, str(root)), indent=2, allow_nan=False)
    partial.write_text(_INNERMOST_LIST.sub(lambda found: " ".join(found[0].split()), text) + "\n")
    partial.replace(path)


def _portable(value: Any, root: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _portable(item, root) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item, root) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return "." if value == root else value.removeprefix(f"{root}/")
    return value


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def hardware(device: torch.device) -> dict[str, Any]:
    """Returns what the run computed on."""
    facts: dict[str, Any] = {"cpu": _cpu_name(), "cpu_count": os.cpu_count(), "threads": torch.get_num_threads()}
    facts["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return facts


def commit() -> str | None:
    """Returns the commit of the source tree, with ``-dirty`` if tracked files differ, or None outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def percent(accuracy: float | None) -> str:
    """Formats an accuracy between 0 and 1 as percents, or a dash for None."""
    return "-" if accuracy is None else f"{100 * accuracy:.2f} %"


def text_table(rows: list[list[Any]], headers: list[str]) -> str:
    """Formats rows as a table for the terminal."""
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
