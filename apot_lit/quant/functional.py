"""Stateless quantisation of tensors: projection onto levels, the clipping function and its gradients.

The one rounding rule of this project, used for every scheme, layer and export: with ``unit`` the code of the largest
level, the float32 number ``half = trunc(x * (2 * unit / alpha))``, clipped to ``[-2 unit, 2 unit]`` (``[0, 2 unit]``
if unsigned), alone decides the code. Midpoints between levels lie on that half grid, so the nearest level is found
without comparing against the levels, and a tie goes to the level of larger magnitude.
"""

import math
from typing import Any

import torch
from torch import Tensor

from apot_lit.quant.alpha import Scalar, positive_alpha, positive_alpha_slope
from apot_lit.quant.levels import LevelSet
from apot_lit.quant.native import JUST_ABOVE_ONE, NativeCodes, Settings, is_usable
from apot_lit.quant.normalize import normalize_weight

MAX_TABLE_DENOMINATOR = 4096  # APoT needs 3840 at 8 bits; plain powers of two outgrow any table (2^254)

_FLOAT32_TINY_EXPONENT = -126


def projection_unit(levels: LevelSet) -> int:
    """The code that stands for the level 1.

    It is the denominator of the level set, so that codes are integers, except for plain powers of two with a
    denominator beyond float32's exact integers: there 1, and "codes" are the levels themselves, exact powers of two.
    """
    return levels.denominator if levels.scheme == "uniform" or levels.denominator <= MAX_TABLE_DENOMINATOR else 1


def half_grid_table(levels: LevelSet, signed: bool) -> Tensor | None:
    """Builds the lookup table from half-grid index to code.

    Args:
        levels: the level set.
        signed: whether codes carry a sign (weights) or not (activations).

    Returns:
        float32 tensor of ``2 unit + 2`` entries (``4 unit + 2`` if signed), the last one NaN to carry NaN through;
        None for the schemes whose codes are computed without a table: uniform, and wide plain powers of two.
    """
    if levels.scheme == "uniform" or projection_unit(levels) != levels.denominator:
        return None
    magnitudes = levels.half_grid()
    negative = [-code for code in reversed(magnitudes[1:])] if signed else []
    return torch.tensor([*negative, *magnitudes, math.nan], dtype=torch.float32)


def project(half: Tensor, bits: int, table: Tensor | None, unit: int, signed: bool) -> Tensor:
    """Projects values in half-grid steps onto codes, ties to the larger magnitude.

    Args:
        half: ``x * (2 * unit / alpha)``, float32, any shape; NaN stays NaN.
        bits: magnitude bits of the level set (used where there is no table).
        table: what `half_grid_table` returned.
        unit: what `projection_unit` returned.
        signed: whether negative codes exist; if not, negative values get code 0.

    Returns:
        Codes, float32, same shape.
    """
    limit = 2 * unit
    half = half.clamp(-limit if signed else 0, limit)
    if table is not None:
        half.nan_to_num_(nan=limit + 1)
        index = half.to(torch.int32)  # truncates toward zero
        if signed:
            index += limit
        return _look_up(table, index)
    if unit > 1:
        return _halve(half)
    return _project_to_power_of_two(half.mul_(0.5), bits)


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """``table[index]`` in the memory format of `index`; index_select is several times faster than indexing."""
    if index.dim() == 4 and not index.is_contiguous() and index.is_contiguous(memory_format=torch.channels_last):
        return _look_up(table, index.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return table.index_select(0, index.flatten()).view(index.shape)


def _halve(half: Tensor) -> Tensor:
    """Half-grid steps to whole ones in place, halves away from zero: ``trunc((h + sign h) / 2)`` of the integer h."""
    half.trunc_()
    return half.add_(half.sign()).mul_(0.5).trunc_()


def _project_to_power_of_two(ratio: Tensor, bits: int) -> Tensor:
    """Nearest of 0 and +-2^-j, j = 0 .. 2^bits - 2, to values in [-1, 1]; below float32's normal numbers that is 0."""
    smallest_exponent = max(-(2**bits - 2), _FLOAT32_TINY_EXPONENT)
    # A significand of 1.5 or more carries into the exponent, then only sign and exponent are kept.
    pattern = (ratio.view(torch.int32) + 0x00400000) & -0x00800000
    power = pattern.view(torch.float32)
    smallest = torch.copysign(torch.full_like(ratio, 2.0**smallest_exponent), ratio)
    power = torch.where(power.abs() < 2.0**smallest_exponent, smallest, power)
    power = torch.where(ratio.abs() < 2.0 ** (smallest_exponent - 1), torch.zeros_like(ratio), power)
    return torch.where(ratio.isnan(), ratio, power)


class _QuantizeCodes(torch.autograd.Function):
    """Codes of clip(x / alpha), with the gradients of the reparameterised clipping function."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        raw_alpha: Tensor,
        alpha: Scalar,
        table: Tensor | None,
        bits: int,
        unit: int,
        signed: bool,
        straight_through: bool,
        grad_scale: float,
    ) -> Tensor:
        half = x * (2 * unit / alpha)
        codes = project(half, bits, table, unit, signed)
        ctx.save_for_backward(half, codes)
        ctx.alpha, ctx.unit, ctx.signed = alpha, unit, signed
        ctx.straight_through, ctx.grad_scale = straight_through, grad_scale
        return codes

    @staticmethod
    def backward(ctx: Any, grad_codes: Tensor) -> tuple[Tensor | None, ...]:
        half, codes = ctx.saved_tensors
        alpha = ctx.alpha
        upper = 2 * ctx.unit * JUST_ABOVE_ONE
        inside = torch.ops.aten.hardtanh_backward(grad_codes, half, -upper if ctx.signed else 0.0, upper)
        grad_alpha = None
        if ctx.needs_input_grad[1]:
            # The fake-quantised value is codes * alpha / unit: its gradient is grad_codes * unit / alpha, times
            # (project(x / alpha) - x / alpha) inside the clip and sign(x) = code / unit outside.
            total = (grad_codes * codes).addcmul_(inside, half, value=-0.5).sum()
            grad_alpha = total * (ctx.grad_scale * positive_alpha_slope(alpha) / alpha)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad_codes.clone() if ctx.straight_through else inside).mul_(ctx.unit / alpha)
        return grad_x, grad_alpha, None, None, None, None, None, None, None


def quantize_codes(
    x: Tensor,
    raw_alpha: Tensor,
    levels: LevelSet,
    *,
    signed: bool,
    table: Tensor | None,
    normalize: bool = False,
    straight_through: bool = False,
    grad_scale: float = 1.0,
) -> tuple[Tensor, Scalar]:
    """Codes of the reparameterised clipping function ``q(x) = alpha * project(clip(x / alpha))``.

    The returned codes are to be multiplied by the returned step *without* tracking its gradient: the
    gradients defined here are those of ``q`` as a whole. With g the gradient of q(x),

    - ``dx = g`` inside the clip and 0 outside (and at or below 0 if unsigned); g everywhere if `straight_through`;
    - ``dalpha = sum(g * (project(x / alpha) - x / alpha))`` inside plus ``sum(g * sign(x))`` outside.

    Source: Li, Dong, Wang, ICLR 2020, section 2.3.

    Args:
        x: values, any shape; computed in float32.
        raw_alpha: scalar; the clipping threshold is `positive_alpha` of it.
        levels: level set of the magnitudes.
        signed: weights (True) or activations (False).
        table: ``half_grid_table(levels, signed)``, on the device of `x`.
        normalize: quantise `normalize_weight` of `x`.
        straight_through: pass gradients to `x` outside the clip as well (2-bit weights).
        grad_scale: factor on the gradient of alpha.

    Returns:
        float32 codes, same shape, integers from -unit (0 if unsigned) to unit; and the step ``alpha / unit``, the
        value of one code.
    """
    unit = projection_unit(levels)
    alpha = positive_alpha(raw_alpha)
    codes: Tensor
    if is_usable(x) and isinstance(alpha, float) and (table is not None or levels.scheme == "uniform"):
        settings = Settings(alpha, unit, signed, straight_through, grad_scale, normalize)
        codes = NativeCodes.apply(x, raw_alpha, table, settings)
    else:
        x = normalize_weight(x.float()) if normalize else x.float()
        codes = _QuantizeCodes.apply(
            x, raw_alpha, alpha, table, levels.bits, unit, signed, straight_through, grad_scale
        )
    return codes, alpha / unit


class _RoundToGrid(torch.autograd.Function):
    """Integers nearest to x / step, ties away from zero, with a straight-through gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Scalar, limit: int | None) -> Tensor:
        ctx.step = step
        half = x * (2 / step)
        if limit is not None:
            half.clamp_(-2 * limit, 2 * limit)
        return _halve(half)

    @staticmethod
    def backward(ctx: Any, grad_codes: Tensor) -> tuple[Tensor | None, ...]:
        return grad_codes / ctx.step, None, None


def round_codes(x: Tensor, step: Scalar, limit: int | None = None) -> Tensor:
    """Integer codes ``x / step`` rounded to nearest, ties to the larger magnitude, gradient straight through.

    Args:
        x: values, any shape.
        step: the value of one code; no gradient flows to it.
        limit: largest magnitude of a code; None for no clipping.

    Returns:
        float32 integers, same shape.
    """
    codes: Tensor = _RoundToGrid.apply(x.float(), step, limit)
    return codes
