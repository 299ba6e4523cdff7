"""Exports for microcontrollers, compiled for Arm and run in an emulated board by their own Makefile."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError

COMPILER, SIZE, EMULATOR = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
NEEDED = (COMPILER, SIZE, EMULATOR, "make")
# The board's processor has 25 MHz, and the emulator gives each instruction a nanosecond.
INSTRUCTIONS_PER_TICK = 40
_IMAGES = "images.raw"
_COMPILE_SECONDS, _RUN_SECONDS = 300, 7200


@dataclass(frozen=True)
class Emulated:
    """What a program took and said.

    Attributes:
        flash: bytes of code and constants.
        memory: bytes of variables, working memory among them.
        stack: the most bytes of stack in use.
        instructions: of one image, on average.
        classes: ``[N]``.
        logits: ``[N, classes]``.
    """

    flash: int
    memory: int
    stack: int
    instructions: int
    classes: npt.NDArray[np.int64]
    logits: npt.NDArray[np.int64]


def require_emulator(what: str) -> None:
    """Raises `UserError`, beginning with `what`, where the compiler, the emulator or make is missing."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise UserError(f"{what}: needs {', '.join(missing)} (on Debian: gcc-arm-none-eabi, qemu-system-arm, make)")


def tool_versions() -> dict[str, str]:
    """The first line that compiler and emulator say of themselves."""
    return {name: _said(Path(), 60, name, "--version").splitlines()[0] for name in (COMPILER, EMULATOR)}


def emulate(directory: Path, pixels: npt.NDArray[Any], optimization: str) -> Emulated:
    """Compiles an export, which gets a program in its directory, and classifies images with it.

    Args:
        directory: what `write_micro` wrote.
        pixels: uint8 ``[N, C, H, W]``.
        optimization: of the compiler, such as ``-Os``.

    Raises:
        UserError: where it does not compile, or the program fails.
    """
    (directory / _IMAGES).write_bytes(np.ascontiguousarray(pixels).tobytes())
    _said(directory, _COMPILE_SECONDS, "make", "-s", "-B", f"CFLAGS={optimization}")
    text, data, bss = _said(directory, 60, SIZE, "network.elf").splitlines()[1].split()[:3]
    lines = _said(directory, _RUN_SECONDS, "make", "-s", "run", f"IMAGES={_IMAGES}").splitlines()
    *found, (count, ticks, stack) = [[int(number) for number in line.split()] for line in lines]
    if count != len(pixels) or len(found) != count:
        raise UserError(f"{directory}: the program says {len(found)} of {len(pixels)} images")
    table = np.array(found, np.int64)
    flash, memory = int(text) + int(data), int(data) + int(bss)
    return Emulated(flash, memory, stack, ticks * INSTRUCTIONS_PER_TICK, table[:, 0], table[:, 1:])


def _said(directory: Path, seconds: int, *command: str) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{directory}: {command[0]} takes longer than {seconds} s") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word of why"])[0]
        raise UserError(f"{directory}: {' '.join(command[:3])} failed: {said}")
    return done.stdout
