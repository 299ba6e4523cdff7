"""Clipping thresholds that are always positive, and scalars that cost nothing to compute with."""

import torch
from torch import Tensor

from apot_lit.quant.spec import ALPHA_MIN
from apot_lit.quant.torchscript import refuse_tracing

_RAW_MIN = -1e6  # below this alpha stays at 1e-12: its reciprocal must not overflow

Scalar = Tensor | float
"""A scalar tensor; on the CPU in eager mode a Python float, whose arithmetic costs no dispatch of an operation."""


def scalar(value: Tensor) -> Scalar:
    """Reads a scalar tensor where reading is free: not on a GPU, where it waits, nor while a graph is captured."""
    if torch.compiler.is_compiling():
        return value.detach()
    refuse_tracing()
    return value.item() if value.is_cpu and value.dim() == 0 else value.detach()


def positive_alpha(raw: Tensor) -> Scalar:
    """Maps a free parameter to a clipping threshold that is always positive.

    ``alpha = raw`` where ``raw >= m`` and ``m^2 / (2 m - raw)`` below, with ``m = ALPHA_MIN``: the identity in the
    range that trained networks use, continuous with its first derivative, and positive for every finite `raw`.

    Args:
        raw: unconstrained scalar parameter.

    Returns:
        The clipping threshold; not differentiable through autograd here, see `positive_alpha_slope`.

    Examples:
        >>> positive_alpha(torch.tensor(3.0))
        3.0
        >>> positive_alpha(torch.tensor(-1e6)) > 0
        True
    """
    value = scalar(raw)
    if isinstance(value, float):
        return value if value >= ALPHA_MIN else ALPHA_MIN**2 / (2 * ALPHA_MIN - max(value, _RAW_MIN))
    return torch.maximum(value, ALPHA_MIN**2 / (2 * ALPHA_MIN - value.clamp(min=_RAW_MIN, max=ALPHA_MIN)))


def positive_alpha_slope(alpha: Scalar) -> Scalar:
    """Derivative of `positive_alpha` with respect to `raw`, from its value: ``min(1, alpha / ALPHA_MIN) ** 2``."""
    if isinstance(alpha, float):
        return 1.0 if alpha >= ALPHA_MIN else (alpha / ALPHA_MIN) ** 2
    return (alpha / ALPHA_MIN).clamp(max=1).square()
