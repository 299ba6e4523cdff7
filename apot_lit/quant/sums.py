"""Exact sums of integer codes: which algorithms may add them up, and a look at whether they did."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

EXACT_INTEGERS = 2**24
"""Up to here float32 holds every integer."""

_EXACT = ("none", "ieee")  # "none": as the whole backend, and torch as a whole, has it, which is "ieee" then

_Undo = Callable[[], object]
_lock = threading.Lock()
_inside: dict[str, int] = {}
_undo: dict[str, list[_Undo]] = {}
_seen: set[tuple[object, ...]] = set()


def sum_codes(multiply: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, weights: Tensor, whole: bool) -> Tensor:
    """Sums of products of codes, by none of the algorithms that trade exactness for speed.

    Where torch can't choose the algorithm, as between those of cuDNN, the first sums of each shape are looked at: the
    ways that are not exact, Winograd's and Fourier transforms, don't leave whole numbers. Code that `torch.compile` has
    made is to be run under `exact_sums`, or after `keep_sums_exact`.

    Args:
        multiply: a convolution or product of matrices, of `inputs` with `weights`.
        inputs: codes of a layer's input.
        weights: codes of its weights.
        whole: whether both are whole numbers, so that sums are.

    Returns:
        ``multiply(inputs, weights)``.

    Warns:
        RuntimeWarning: once for each shape of whose sums some are not whole.
    """
    device = inputs.device.type
    if torch.compiler.is_compiling():
        _warn_of_compiled(device)
        return multiply(inputs, weights)
    with exact_sums(device):
        sums = multiply(inputs, weights)
    if whole:
        _look_at(sums, inputs, weights)
    return sums


@contextmanager
def exact_sums(device: str) -> Iterator[None]:
    """Keeps convolutions and products of matrices in float32 from rounding integers.

    Not by NNPACK, which knows Winograd's algorithm alone, and not with inputs rounded to TF32 or bfloat16. Torch has
    these switches once in a process; they are put back when the last thread has left.

    Args:
        device: type of the device that computes, such as ``"cpu"``.
    """
    with _lock:
        if not _inside.get(device):
            _undo[device] = _make_exact(device)
        _inside[device] = _inside.get(device, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _inside[device] -= 1
            if not _inside[device]:
                for undo in reversed(_undo.pop(device)):
                    undo()


def keep_sums_exact() -> None:
    """Does for the rest of the process, gradients and compiled code included, what `exact_sums` does for a while."""
    for device in _SWITCHES:
        _make_exact(device)


def _make_exact(device: str) -> list[_Undo]:
    return [undo for switch in _SWITCHES.get(device, ()) if (undo := switch()) is not None]


def _nnpack_off() -> _Undo | None:
    if _ONEDNN.enabled and _ONEDNN.is_available():
        return None  # where there is oneDNN, torch does not ask NNPACK
    (before,) = torch.backends.nnpack.set_flags(False)
    return (lambda: torch.backends.nnpack.set_flags(True)) if before else None


def _precise(operations: Any) -> _Undo | None:
    """Sets the precision of one kind of a backend's operations."""
    before = operations.fp32_precision
    if before in _EXACT:
        return None
    operations.fp32_precision = "ieee"
    return lambda: setattr(operations, "fp32_precision", before)


def _precise_cudnn() -> _Undo | None:
    try:
        before = torch.backends.cudnn.allow_tf32
    except RuntimeError:  # refused where its parts differ, which only the newer switches can bring about
        return _precise(_CUDNN_CONV)
    torch.backends.cudnn.allow_tf32 = False
    return (lambda: setattr(torch.backends.cudnn, "allow_tf32", True)) if before else None


def _precise_cublas() -> _Undo | None:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # as above
        return _precise(_CUBLAS)
    if before == "highest":
        return None
    torch.set_float32_matmul_precision("highest")
    return lambda: torch.set_float32_matmul_precision(before)


# Looked up once: torch makes these lookups slow, and every layer uses them.
_ONEDNN = torch.backends.mkldnn
_ONEDNN_CONV, _ONEDNN_MATMUL = (getattr(_ONEDNN, kind) for kind in ("conv", "matmul"))
_CUDNN_CONV, _CUBLAS = (getattr(*part) for part in ((torch.backends.cudnn, "conv"), (torch.backends.cuda, "matmul")))
_SWITCHES: dict[str, tuple[Callable[[], _Undo | None], ...]] = {
    "cpu": (
        _nnpack_off,
        partial(_precise, _ONEDNN_CONV),
        partial(_precise, _ONEDNN_MATMUL),
    ),
    "cuda": (_precise_cudnn, _precise_cublas),
}


def _warn_of_compiled(device: str) -> None:
    """Called once, while code is compiled."""
    undos = _make_exact(device)
    for undo in reversed(undos):
        undo()
    if undos:
        warnings.warn(
            "a quantised layer is compiled: its sums are exact only after apot_lit.quant.keep_sums_exact()",
            RuntimeWarning,
            stacklevel=2,
        )


# All that `torch.compiler.assume_constant_result` does, but for loading the compiler, which takes a second.
_warn_of_compiled._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _look_at(sums: Tensor, inputs: Tensor, weights: Tensor) -> None:
    """Warns where sums are not whole, once for each shape: a look makes a GPU wait."""
    channels_last = inputs.dim() == 4 and inputs.is_contiguous(memory_format=torch.channels_last)
    key = (inputs.device, inputs.shape, weights.shape, sums.shape, channels_last)
    if key in _seen or sums.dtype != torch.float32 or sums.is_meta:
        return
    if sums.is_cuda and torch.cuda.is_current_stream_capturing():
        return
    _seen.add(key)
    values = sums.detach()
    error = float((values - values.round()).nan_to_num().abs().amax()) if values.numel() else 0.0
    if error:
        warnings.warn(
            f"sums of integer codes are off by up to {error:.2g}: {inputs.device} convolves {tuple(inputs.shape)} with "
            f"{tuple(weights.shape)} by an algorithm that is not exact, so that results depend on the size of batches",
            RuntimeWarning,
            stacklevel=2,
        )
