"""Weights in the narrowest type of ONNX that holds them: codes, or indices of levels where these are fewer bits."""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from apot_lit.graph.steps import AnyConvolution, AnyLinear
from apot_lit.quant.levels import LevelSet

_TYPES = ((TensorProto.INT2, 2), (TensorProto.INT4, 4), (TensorProto.INT8, 8))


def stored_weight(step: AnyConvolution | AnyLinear) -> tuple[npt.NDArray[Any], LevelSet | None]:
    """What is stored of a layer's weights, in 2, 4 or 8 bits.

    Returns:
        Signed indices of levels and the levels; or codes, which those of uniform levels are anyway, and None.
    """
    levels = step.levels if isinstance(step, AnyConvolution) else None
    numbers = step.weight.astype(np.int64)
    if levels is None or levels.scheme == "uniform" or not np.isin(np.abs(numbers), levels.codes).all():
        return _narrow(numbers), None
    return _narrow(np.sign(numbers) * np.searchsorted(levels.codes, np.abs(numbers))), levels


def _narrow(numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    reach = max(int(numbers.max(initial=0)), -1 - int(numbers.min(initial=0)))
    kind = next(kind for kind, bit in _TYPES if reach < 2 ** (bit - 1))
    return numbers.astype(helper.tensor_dtype_to_np_dtype(kind))
