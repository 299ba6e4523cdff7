"""Quantisation on the CPU in eager mode by compiled loops: what functional.py does, without its many operations.

One or two passes each way replace about 45 small operations per layer. The C source next to this file is built
once by the system's C compiler and kept in the user's cache; without a compiler the tensor operations do the work.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from apot_lit.quant.alpha import positive_alpha_slope

_SOURCE = Path(__file__).with_name("native.c")
# No contraction to fused multiply-add: each operation rounds as its tensor counterpart does.
_FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
# Compiled for OpenMP but not linked to its library: torch's own copy, loaded already, serves both, so that the two
# share their threads. Where torch brings none that fits, the loops run on one thread.
_THREADS = ("-fopenmp",)
JUST_ABOVE_ONE = 1 + 2.0**-23  # float32 successor of 1: "x < this" is "x <= 1"

_PLAIN = (Tensor, torch.nn.Parameter)
_Grid = ctypes.c_float * 3  # mean, 1 / standard deviation, half-grid steps per unit


@cache
def _cache_dir() -> Path:
    """The user's cache; without one, as in some containers, a directory of this process, which nobody else can fill."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "apot_lit"
    except RuntimeError:
        directory = tempfile.mkdtemp(prefix="apot_lit-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        return Path(directory)


def _processor() -> str:
    """What the compiled code depends on besides its source: home directories are shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.machine()} {features}"


def find_c_compiler() -> str | None:
    """Finds the C compiler: that of ``$CC``, else cc."""
    return shutil.which(os.environ.get("CC") or "cc")


def build(directory: Path, *options: str) -> Path | None:
    """Compiles the C source into `directory` unless it is there already.

    Args:
        directory: where compiled libraries are kept.
        options: further options of the compiler.

    Returns:
        The shared library, or None where no C compiler is found, it fails, or nothing can be written.
    """
    compiler = find_c_compiler()
    if compiler is None:
        return None
    command = (compiler, *_FLAGS, *options)
    key = hashlib.sha256("\0".join([_SOURCE.read_text(), *command, _processor()]).encode()).hexdigest()
    library = directory / f"native-{key[:16]}.so"
    if library.exists():
        return library
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            compiled, linked = Path(scratch) / "native.o", Path(scratch) / "native.so"
            for step in (
                [*command, "-c", str(_SOURCE), "-o", str(compiled)],
                [compiler, "-shared", str(compiled), "-o", str(linked), "-lm"],
            ):
                subprocess.run(step, check=True, capture_output=True)
            linked.replace(library)  # atomic: processes that start together never load half a file
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


@cache
def load() -> ctypes.CDLL | None:
    """The compiled functions, or None where they can't be had."""
    for options in (_THREADS, ()):
        path = build(_cache_dir(), *options)
        if path is None:
            continue
        try:
            library = ctypes.CDLL(str(path))
        except OSError:  # threads that need a library which is not there
            continue
        pointer, count, flag, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
        library.quantize.argtypes = [pointer, pointer, count, flag, number, number, pointer, pointer]
        library.quantize.restype = None
        library.gradient.argtypes = [*[pointer] * 4, count, flag, number, number, flag, ctypes.c_double, pointer]
        library.gradient.restype = ctypes.c_double
        return library
    return None


def is_usable(x: Tensor) -> bool:
    """Whether the compiled loops can read `x`: float32 in CPU memory, outside of a graph capture."""
    return (
        not torch.compiler.is_compiling()
        and x.is_cpu
        and x.dtype is torch.float32
        and type(x) in _PLAIN
        and load() is not None
    )


def _dense(x: Tensor) -> Tensor:
    """`x` without gaps between its elements, in its own memory format where that is possible."""
    if x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)):
        return x
    return x.contiguous()


class Settings(NamedTuple):
    """What quantises a tensor besides the tensor: the arguments of `functional.quantize_codes`."""

    alpha: float
    unit: int
    signed: bool
    straight_through: bool
    grad_scale: float
    normalize: bool


class NativeCodes(torch.autograd.Function):
    """Codes of clip(x / alpha), x normalised before if asked for, with the gradients of functional.py."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, raw_alpha: Tensor, table: Tensor | None, settings: Settings) -> Tensor:
        """Returns the codes, in the memory format of `x`."""
        library = load()
        assert library is not None
        x = _dense(x)
        codes = torch.empty_like(x)
        limit = 2 * settings.unit
        grid = _Grid(0.0, 1.0, limit / settings.alpha)
        library.quantize(
            x.data_ptr(),
            codes.data_ptr(),
            x.numel(),
            settings.normalize,
            -limit if settings.signed else 0,
            limit,
            None if table is None else table.data_ptr(),
            grid,
        )
        ctx.save_for_backward(x, codes)
        ctx.settings, ctx.grid = settings, grid
        return codes

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of `x` and `raw_alpha`."""
        library = load()
        assert library is not None
        x, codes = ctx.saved_tensors
        alpha, unit, signed, straight_through, grad_scale, normalize = ctx.settings
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        upper = 2 * unit * JUST_ABOVE_ONE
        total = library.gradient(
            grad.data_ptr(),
            x.data_ptr(),
            codes.data_ptr(),
            None if grad_x is None else grad_x.data_ptr(),
            x.numel(),
            normalize,
            -upper if signed else 0.0,
            upper,
            straight_through,
            unit / alpha,
            ctx.grid,
        )
        grad_alpha = None
        if ctx.needs_input_grad[1]:
            grad_alpha = torch.tensor(total * grad_scale * positive_alpha_slope(alpha) / alpha)
        return grad_x, grad_alpha, None, None
