"""Runs testbenches in Icarus Verilog or Verilator, whichever is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

INSTALL = "install iverilog or verilator, packages of every Linux distribution"


def simulator() -> str | None:
    """The simulator to use, None if there is none."""
    return next((name for name in ("iverilog", "verilator") if shutil.which(name)), None)


def simulator_version() -> str | None:
    """What it calls itself, None if there is none."""
    name = simulator()
    if name is None:
        return None
    said = _run([name, "-V" if name == "iverilog" else "--version"], Path.cwd())
    return said.splitlines()[0].strip()


def simulate(sources: Sequence[Path], top: str, directory: Path) -> str:
    """Compiles and runs a testbench.

    Args:
        sources: its files and those of what it tests.
        top: its module.
        directory: where it runs, and finds the memories that it reads.

    Returns:
        What it printed.

    Raises:
        RuntimeError: with what the simulator says is wrong, or if there is none.
    """
    files = [str(path.resolve()) for path in sources]
    name = simulator()
    if name == "iverilog":
        _run(["iverilog", "-g2005-sv", "-Wall", "-s", top, "-o", f"{top}.vvp", *files], directory)
        return _run(["vvp", "-n", f"{top}.vvp"], directory)
    if name == "verilator":
        quiet = ("-Wno-fatal", "-Wno-WIDTH", "--Mdir", f"{top}.verilator")
        _run(["verilator", "--binary", "--timing", "--top-module", top, *quiet, *files], directory)
        return _run([str((directory / f"{top}.verilator" / f"V{top}").resolve())], directory)
    raise RuntimeError(f"no simulator; {INSTALL}")


def _run(command: Sequence[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason"]
        raise RuntimeError(f"{command[0]}: {said[0]}")
    return done.stdout
