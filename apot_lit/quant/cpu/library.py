"""Builds C source once, such as that next to this file, and keeps the library where nobody else can put one."""

import atexit
import contextlib
import hashlib
import os
import platform
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("native.c")
# No contraction to fused multiply-add: each operation rounds as its tensor counterpart does.
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
# Compiled for OpenMP but not linked to its library: torch's own copy, loaded already, serves both, so that the two
# share their threads. Where torch brings none that fits, the loops run on one thread.
THREADS = ("-fopenmp",)
COMPILER_SECONDS = 30.0


@cache
def private_directory() -> Path | None:
    """Where compiled libraries are kept: what lies there is loaded, so only this user may write to it.

    It is ``apot_lit`` in the user's cache. Where that can't be made, is another user's or can be written by others, it
    is a directory of this process; None where there can't be one either.
    """
    with contextlib.suppress(RuntimeError, OSError):
        directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "apot_lit"
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        if _is_private(directory):
            return directory
    try:
        directory = Path(tempfile.mkdtemp(prefix="apot_lit-"))  # for this user alone
    except OSError:
        return None
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def build(directory: Path, *options: str) -> Path | None:
    """Compiles the C source of this package; see `build_library`.

    Args:
        directory: where compiled libraries are kept.
        options: further options of the compiler.
    """
    return build_library(directory, "native", [SOURCE], (*FLAGS, *options), [SOURCE])


def build_library(
    directory: Path, name: str, sources: Sequence[Path], flags: Sequence[str], read: Sequence[Path]
) -> Path | None:
    """Compiles C source into `directory` unless it is there already, whole.

    Args:
        directory: where compiled libraries are kept.
        name: what the library's name begins with.
        sources: what is compiled.
        flags: options of the compiler.
        read: all files that the compiler reads, the sources among them.

    Returns:
        The shared library, whose name ends with the checksum of its content; or None where no C compiler is found, it
        fails or takes longer than `COMPILER_SECONDS`, or nothing can be written.
    """
    compiler = find_c_compiler()
    if compiler is None:
        return None
    command = (compiler, *flags)
    said = "\0".join([*(path.read_text() for path in read), *command, _processor()])
    key = hashlib.sha256(said.encode()).hexdigest()[:16]
    try:
        for library in sorted(directory.glob(f"{name}-{key}-*.so")):
            if library.name == _name(name, key, library):
                return library
            library.unlink()
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            objects = [str(Path(scratch) / f"{source.stem}.o") for source in sources]
            for source, compiled in zip(sources, objects, strict=True):
                _run(*command, "-c", str(source), "-o", compiled)
            linked = Path(scratch) / "linked.so"
            _run(compiler, "-shared", *objects, "-o", str(linked), "-lm")
            library = directory / _name(name, key, linked)
            linked.replace(library)  # atomic: processes that start together never load half a file
    except (OSError, subprocess.SubprocessError):
        return None
    return library


def find_c_compiler() -> str | None:
    """Finds the C compiler: that of ``$CC``, else cc."""
    return shutil.which(os.environ.get("CC") or "cc")


def _is_private(directory: Path) -> bool:
    found = directory.lstat()
    mine = found.st_uid == os.geteuid()
    return stat.S_ISDIR(found.st_mode) and mine and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _name(name: str, key: str, library: Path) -> str:
    return f"{name}-{key}-{hashlib.sha256(library.read_bytes()).hexdigest()}.so"


def _run(*command: str) -> None:
    """Runs a command to its end or, with all that it started, to the end of its time."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        code = process.wait(COMPILER_SECONDS)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code:
        raise subprocess.CalledProcessError(code, command)


def _processor() -> str:
    """What the compiled code depends on besides its source: home directories are shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.machine()} {features}"
