"""The facts about software and hardware that result files carry."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def hardware(device: "torch.device") -> dict[str, Any]:
    """Returns what the run computed on."""
    import torch  # late: who only asks for versions need not wait for it

    facts: dict[str, Any] = {"cpu": _cpu_name(), "cpu_count": os.cpu_count(), "threads": torch.get_num_threads()}
    facts["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return facts


def commit() -> str | None:
    """Returns the commit of the source tree, with ``-dirty`` if tracked files differ.

    None outside git, and in a repository that does not track this package at its root: that is one of another project,
    in which the package is only installed.
    """
    package = Path(__file__).resolve().parent.parent
    try:
        tree = Path(_git(package, "rev-parse", "--show-toplevel")).resolve()
        if tree / package.name != package:
            return None
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
        return _git(package, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
