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
