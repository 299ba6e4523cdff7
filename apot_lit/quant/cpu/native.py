"""Quantisation on the CPU in eager mode by compiled loops: what functional.py does, without its many operations.

One or two passes each way replace about 45 small operations per layer. Without a C compiler the tensor operations do
the work.
"""

import ctypes
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from apot_lit.quant.alpha import positive_alpha_slope
from apot_lit.quant.cpu.library import THREADS, build, private_directory

JUST_ABOVE_ONE = 1 + 2.0**-23  # float32 successor of 1: "x < this" is "x <= 1"

_PLAIN = (Tensor, torch.nn.Parameter)
_Grid = ctypes.c_float * 3  # mean, 1 / standard deviation, half-grid steps per unit


@cache
def load() -> ctypes.CDLL | None:
    """The compiled functions, or None where they can't be had."""
    directory = private_directory()
    for options in (THREADS, ()):
        path = None if directory is None else build(directory, *options)
        if path is None:
            continue
        try:
            return _declared(ctypes.CDLL(str(path)))
        except (OSError, AttributeError):  # threads that need a library which is not there; functions that are not
            continue
    return None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, count, flag, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
    library.quantize.argtypes = [pointer, pointer, count, flag, number, number, pointer, pointer]
    library.quantize.restype = None
    library.gradient.argtypes = [*[pointer] * 4, count, flag, number, number, flag, ctypes.c_double, pointer]
    library.gradient.restype = ctypes.c_double
    return library


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
    return x if _is_dense(x, torch.contiguous_format) or _is_dense(x, torch.channels_last) else x.contiguous()


def _like(x: Tensor, other: Tensor) -> Tensor:
    """`x` with its elements in the order in memory that dense `other` has."""
    for memory_format in (torch.contiguous_format, torch.channels_last):
        if _is_dense(other, memory_format) and _is_dense(x, memory_format):
            return x
    return torch.empty_like(other).copy_(x)


def _is_dense(x: Tensor, memory_format: torch.memory_format) -> bool:
    return (memory_format is torch.contiguous_format or x.dim() == 4) and x.is_contiguous(memory_format=memory_format)


class Settings(NamedTuple):
    """What quantises a tensor besides the tensor: the arguments of `functional.quantize_codes`."""

    alpha: float
    unit: int
    signed: bool
    straight_through: bool
    grad_scale: float
    normalize: bool


class Quantized(NamedTuple):
    """A tensor and its codes, in the same order in memory, with what they were made by."""

    x: Tensor
    codes: Tensor
    settings: Settings
    grid: Any


def quantize(x: Tensor, table: Tensor | None, settings: Settings) -> Quantized:
    """Codes of clip(x / alpha), x normalised before if asked for."""
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
    return Quantized(x, codes, settings, grid)


def gradients(
    grad: Tensor, made: Quantized, of_x: bool, of_alpha: bool, factor: float = 1.0
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of functional.py, of ``factor * sum(grad * codes)``.

    Returns:
        Those of x and of the raw threshold, None where not asked for.
    """
    library = load()
    assert library is not None
    x, codes, (alpha, unit, signed, straight_through, grad_scale, normalize), grid = made
    grad_x = torch.empty_like(x) if of_x else None
    grad = _like(grad, x)
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
        factor * unit / alpha,
        grid,
    )
    if not of_alpha:
        return grad_x, None
    return grad_x, torch.scalar_tensor(factor * total * grad_scale * positive_alpha_slope(alpha) / alpha)


class NativeCodes(torch.autograd.Function):
    """Codes with the gradients of functional.py."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, raw_alpha: Tensor, table: Tensor | None, settings: Settings) -> Tensor:
        """Returns the codes, in the memory format of `x`."""
        made = quantize(x, table, settings)
        ctx.save_for_backward(made.x, made.codes)
        ctx.rest = made[2:]
        return made.codes

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of `x` and `raw_alpha`."""
        made = Quantized(*ctx.saved_tensors, *ctx.rest)
        return *gradients(grad, made, *ctx.needs_input_grad[:2]), None, None
