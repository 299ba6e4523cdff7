"""Quantisation of tensors: where a number becomes a level, and where its gradient is.

`fake_quantize` is the definition, to be read. `quantize_codes` is what layers compute with: the same function as codes
and a step, by a table or compiled loops. Tests hold the two equal, codes and gradients.

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
from apot_lit.quant.cpu.native import JUST_ABOVE_ONE, NativeCodes, Settings, is_usable
from apot_lit.quant.levels import LevelSet
from apot_lit.quant.normalize import normalize_weight
from apot_lit.quant.projection import halve, project, projection_unit


def fake_quantize(
    x: Tensor, alpha: Tensor, levels: LevelSet, *, signed: bool, straight_through: bool = False
) -> Tensor:
    """The reparameterised clipping function ``q(x) = alpha * project(clip(x / alpha))``, as it is defined.

    Differentiable by autograd alone. With g the gradient of q(x),

    - ``dx = g`` inside the clip and 0 outside (and at or below 0 if unsigned); g everywhere if `straight_through`;
    - ``dalpha = sum(g * (project(x / alpha) - x / alpha))`` inside plus ``sum(g * sign(x))`` outside.

    Source: Li, Dong, Wang, "Additive Powers-of-Two Quantization", ICLR 2020, section 2.3.

    Args:
        x: values, any shape.
        alpha: clipping threshold, positive: a scalar, or of a shape that `x` divides by.
        levels: level set of the magnitudes, with a denominator within float32's integers.
        signed: weights (True) or activations (False).
        straight_through: pass gradients to `x` outside the clip as well (2-bit weights).

    Returns:
        A tensor of the same shape and type, whose values are levels times alpha up to rounding.

    Examples:
        >>> from apot_lit.quant.levels import level_set
        >>> fake_quantize(torch.tensor([0.4, 0.5, 2.9, 9.0]), torch.tensor(4.0), level_set("apot", 2), signed=False)
        tensor([0., 1., 2., 4.])
    """
    grid = 2 * levels.denominator
    table = torch.tensor(levels.half_grid(), device=x.device)
    half = x * (grid / alpha)
    clipped = half.clamp(-grid, grid) if signed else half.relu().clamp(max=grid)
    nearest = 2 * table[clipped.detach().abs().long()] * clipped.detach().sign()
    quantized = (clipped + (nearest - clipped).detach()) * (alpha / grid)
    return quantized + (x - x.detach()) * (half != clipped) if straight_through else quantized


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
        ctx.alpha, ctx.alpha_shape, ctx.unit, ctx.signed = alpha, raw_alpha.shape, unit, signed
        ctx.straight_through, ctx.grad_scale = straight_through, grad_scale
        return codes

    @staticmethod
    def backward(ctx: Any, grad_codes: Tensor) -> tuple[Tensor | None, ...]:
        half, codes = ctx.saved_tensors
        alpha = ctx.alpha
        upper = 2 * ctx.unit * JUST_ABOVE_ONE
        # NaN is outside, as in the compiled loops; hardtanh_backward alone takes it for either, by its place in memory.
        known = half.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        inside = torch.ops.aten.hardtanh_backward(grad_codes, known, -upper if ctx.signed else 0.0, upper)
        grad_alpha = None
        if ctx.needs_input_grad[1]:
            # The fake-quantised value is codes * alpha / unit: its gradient is grad_codes * unit / alpha, times
            # (project(x / alpha) - x / alpha) inside the clip and sign(x) = code / unit outside.
            parts = (grad_codes * codes).addcmul_(inside, half, value=-0.5)
            total = parts.sum_to_size(alpha.shape) if ctx.alpha_shape else parts.sum()
            grad_alpha = total * (ctx.grad_scale * positive_alpha_slope(alpha) / alpha)
            grad_alpha = grad_alpha.view(ctx.alpha_shape)
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
    """`fake_quantize` as codes and a step, computed in the fastest way there is.

    The returned codes are to be multiplied by the returned step *without* tracking its gradient: the gradients of the
    codes are made such that the product has those of `fake_quantize` as a whole.

    Args:
        x: values, any shape; computed in float32.
        raw_alpha: scalar, or one for each index of the first dimension of `x`; the clipping thresholds are
            `positive_alpha` of it.
        levels: level set of the magnitudes.
        signed: weights (True) or activations (False).
        table: ``half_grid_table(levels, signed)``, on the device of `x`.
        normalize: quantise `normalize_weight` of `x`.
        straight_through: pass gradients to `x` outside the clip as well (2-bit weights).
        grad_scale: factor on the gradient of alpha.

    Returns:
        float32 codes, same shape, integers from -unit (0 if unsigned) to unit; and the step ``alpha / unit``, the
        value of one code, which multiplies them where it is a tensor.
    """
    codes: Tensor
    settings = native_settings(x, raw_alpha, levels, signed, table, normalize, straight_through, grad_scale)
    if settings is not None:
        codes = NativeCodes.apply(x, raw_alpha, table, settings)
        return codes, settings.alpha / settings.unit
    unit = projection_unit(levels)
    alpha = positive_alpha(raw_alpha)
    if isinstance(alpha, Tensor) and alpha.dim():
        alpha = alpha.view(-1, *[1] * (x.dim() - 1))
    x = normalize_weight(x.float()) if normalize else x.float()
    codes = _QuantizeCodes.apply(x, raw_alpha, alpha, table, levels.bits, unit, signed, straight_through, grad_scale)
    return codes, alpha / unit


def native_settings(
    x: Tensor,
    raw_alpha: Tensor,
    levels: LevelSet,
    signed: bool,
    table: Tensor | None,
    normalize: bool,
    straight_through: bool,
    grad_scale: float,
) -> Settings | None:
    """What the compiled loops need to know besides tensors, see `quantize_codes`; None where they can't be used."""
    if not is_usable(x) or (table is None and levels.scheme != "uniform"):
        return None
    alpha = positive_alpha(raw_alpha)
    if not isinstance(alpha, float):
        return None
    return Settings(alpha, projection_unit(levels), signed, straight_through, grad_scale, normalize)


class _RoundToGrid(torch.autograd.Function):
    """Integers nearest to x / step, ties away from zero, with a straight-through gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Scalar, limit: int | None) -> Tensor:
        ctx.step = step
        half = x * (2 / step)
        if limit is not None:
            half.clamp_(-2 * limit, 2 * limit)
        return halve(half)

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
