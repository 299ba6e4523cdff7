"""Projection onto the levels by a small table, whatever their number: the rule of functional.py, made fast."""

import math

import torch
from torch import Tensor

from apot_lit.quant.levels import LevelSet

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
        return halve(half)
    nearest = _search_power_of_two if torch.compiler.is_compiling() else _project_to_power_of_two
    return nearest(half.mul_(0.5), max(-(2**bits - 2), _FLOAT32_TINY_EXPONENT))


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """``table[index]`` in the memory format of `index`; index_select is several times faster than indexing."""
    if index.dim() == 4 and not index.is_contiguous() and index.is_contiguous(memory_format=torch.channels_last):
        return _look_up(table, index.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return table.index_select(0, index.flatten()).view(index.shape)


def halve(half: Tensor) -> Tensor:
    """Half-grid steps to whole ones in place, halves away from zero: ``trunc((h + sign h) / 2)`` of the integer h."""
    half.trunc_()
    return half.add_(half.sign()).mul_(0.5).trunc_()


def _project_to_power_of_two(ratio: Tensor, smallest_exponent: int) -> Tensor:
    """Nearest of 0 and +-2^-j, j from 0 up to the smallest exponent's, to values in [-1, 1]; NaN stays NaN."""
    # A significand of 1.5 or more carries into the exponent, then only sign and exponent are kept.
    pattern = (ratio.view(torch.int32) + 0x00400000) & -0x00800000
    power = pattern.view(torch.float32)
    smallest = torch.copysign(torch.full_like(ratio, 2.0**smallest_exponent), ratio)
    power = torch.where(power.abs() < 2.0**smallest_exponent, smallest, power)
    power = torch.where(ratio.abs() < 2.0 ** (smallest_exponent - 1), torch.zeros_like(ratio), power)
    return torch.where(ratio.isnan(), ratio, power)


def _search_power_of_two(ratio: Tensor, smallest_exponent: int) -> Tensor:
    """The same by arithmetic alone, for graphs: ONNX has no access to the bits of a number."""
    rest, power = ratio.abs(), torch.ones_like(ratio)
    for places in (64, 32, 16, 8, 4, 2, 1):  # the exponent, bit by bit; products with powers of two are exact
        if places <= -smallest_exponent:
            smaller = rest < 1.5 * 2.0**-places
            rest = torch.where(smaller, rest * 2.0**places, rest)
            power = torch.where(smaller, power * 2.0**-places, power)
    power = power.clamp(min=2.0**smallest_exponent) * ratio.sign()
    power = torch.where(ratio.abs() < 2.0 ** (smallest_exponent - 1), torch.zeros_like(ratio), power)
    return torch.where(ratio.isnan(), ratio, power)
