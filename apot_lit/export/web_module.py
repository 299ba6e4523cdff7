"""Exported C source as modules of WebAssembly: one with vector instructions, and one without."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from apot_lit.errors import UserError

FUNCTIONS = (
    *("apot_classify_batch", "apot_codes", "apot_weights"),
    *("apot_sizes", "apot_layer_count", "apot_layer_name", "apot_layer_size"),
)
"""What a module exports, beside its memory and where the free part of that begins (`HEAP`)."""
HEAP = "__heap_base"

_FLAGS = (
    *("-std=c11", "-O3", "-I.", "-mbulk-memory", "-nostdlib", "-s", "-Wl,--no-entry", "-Wl,-z,stack-size=65536"),
    *(f"-Wl,--export={name}" for name in (*FUNCTIONS, HEAP)),
)
_SIMD = "-msimd128"
_STRING_H = """/* What the runtime takes of the standard library; freestanding WebAssembly has none. */
#include <stddef.h>
#define memcpy __builtin_memcpy
#define memset __builtin_memset
"""


@dataclass(frozen=True)
class Modules:
    """One network, compiled twice.

    Attributes:
        simd: with vector instructions of 128 bits.
        plain: without.
    """

    simd: bytes
    plain: bytes


def find_wasm_compiler() -> tuple[str, ...] | None:
    """Finds a compiler of C to WebAssembly: that of the package ziglang, else clang with wasm-ld.

    Returns:
        Its command, or None.
    """
    if find_spec("ziglang") is not None:
        return sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding"
    clang = shutil.which("clang")
    if clang is None or shutil.which("wasm-ld") is None:
        return None
    # As zig does by itself: a stack that runs over traps instead of writing over the network.
    return clang, "--target=wasm32", "-Wl,--stack-first"


def build_modules(source: Mapping[str, str]) -> Modules:
    """Compiles exported C source.

    Args:
        source: content by file name, as `build_c` returns it.

    Raises:
        UserError: if there is no compiler, or it fails.
    """
    command = find_wasm_compiler()
    if command is None:
        raise UserError(
            "format=web: needs a compiler to WebAssembly: ziglang (install apot-lit[web]), or clang with wasm-ld"
        )
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in (*source.items(), ("string.h", _STRING_H)):
            (Path(scratch) / name).write_text(text)
        files = [name for name in source if name.endswith(".c") and name != "main.c"]
        return Modules(*(_compile(Path(scratch), [*command, *_FLAGS, *extra, *files]) for extra in ((_SIMD,), ())))


def _compile(directory: Path, command: list[str]) -> bytes:
    done = subprocess.run([*command, "-o", "network.wasm"], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()
        raise UserError(f"format=web: {' '.join(command[:4])} can't compile the network: {said[0]}")
    return (directory / "network.wasm").read_bytes()
