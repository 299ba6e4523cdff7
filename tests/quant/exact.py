"""The definitions, in exact or float64 arithmetic and apart from the code under test: what the tests compare with."""

import math
from fractions import Fraction
from functools import cache
from itertools import pairwise, product

import numpy as np
import torch

SCHEMES = ("apot", "pot", "uniform")
ALL_BITS = range(1, 9)


def inverse_power(exponent):
    return Fraction(1, 2**exponent)


def terms(scheme, bits):
    """The terms of a level set, each a list of fractions, as the definition writes them (before scaling)."""
    if scheme == "uniform":  # general k = 1: term i is {0, 2^-i}
        return [[Fraction(0), inverse_power(i)] for i in range(bits)]
    if scheme == "pot":  # general k = B: a single term
        return [[Fraction(0)] + [inverse_power(j) for j in range(2**bits - 1)]]
    n, odd = divmod(bits, 2)
    if odd:
        term_list = [[Fraction(0), *map(inverse_power, (i, i + n, i + 2 * n + 1))] for i in range(n)]
        return [*term_list, [Fraction(0), inverse_power(2 * n)]]
    return [[Fraction(0)] + [inverse_power(i + j * n) for j in range(3)] for i in range(n)]


@cache
def levels(scheme, bits):
    """All levels as fractions, ascending; the largest is scaled to 1."""
    sums = sorted({sum(entries) for entries in product(*terms(scheme, bits))})
    return tuple(value / sums[-1] for value in sums)


class BruteForce:
    """Nearest level by comparing with every one of them, in Python's integers.

    Args:
        level_list: the levels as fractions.
    """

    def __init__(self, level_list):
        self.denominator = math.lcm(*(level.denominator for level in level_list))
        self.codes = [int(level * self.denominator) for level in level_list]

    def nearest(self, ratio, signed):
        """The nearest level to a fraction; of two at the same distance the larger in magnitude."""
        magnitude = abs(ratio) if signed else max(ratio, Fraction(0))
        target, factor = magnitude.numerator * self.denominator, magnitude.denominator
        distances = [(abs(code * factor - target), -code) for code in self.codes]
        code = -min(distances)[1]
        return Fraction(-code if ratio < 0 else code, self.denominator)

    def near_midpoint(self, ratio):
        """Whether the ratio is within 1e-6 of a midpoint, relative to it, so that float32 rounding may decide."""
        target, factor = abs(ratio.numerator) * 2 * self.denominator, ratio.denominator
        sums = [low + high for low, high in zip(self.codes, self.codes[1:], strict=False)]
        return any(abs(total * factor - target) * 10**6 <= total * factor for total in sums)


def midpoints(level_list):
    return [(low + high) / 2 for low, high in pairwise(level_list)]


def project64(x, alpha, scheme, bits, signed, tolerance=1e-6):
    """Nearest levels in float64, as fractions of alpha, and where they are certain.

    Returns:
        arrays ``projection, ratio, certain``: the projected and the unprojected ``x / alpha``, and False where the
        ratio is within the tolerance (relative) of a midpoint or of the clip, so that float32 may go either way.
    """
    level_array = np.array([float(level) for level in levels(scheme, bits)])
    middle = (level_array[1:] + level_array[:-1]) / 2
    ratio = np.asarray(x, np.float64) / float(alpha)
    magnitude = np.abs(ratio) if signed else np.maximum(ratio, 0)
    projection = level_array[np.searchsorted(middle, magnitude, side="right")] * np.sign(ratio)
    boundaries = np.array([*middle, 1.0])
    distance = np.min(np.abs(magnitude[..., None] - boundaries) / boundaries, -1)
    return projection, ratio, distance > tolerance


def clipping_gradients(x, alpha, grad_out, scheme, bits, signed, straight_through=False):
    """Gradients of the clipping function by its definition, in float64.

    Returns:
        gradient of x, gradient of alpha, and the sum of the absolute terms of the latter (its rounding scale).
    """
    projection, ratio, _ = project64(x, alpha, scheme, bits, signed)
    grad_out = np.asarray(grad_out, np.float64)
    inside = (np.abs(ratio) <= 1) if signed else ((ratio > 0) & (ratio <= 1))
    below = (ratio < 0) & (not signed)
    alpha_terms = np.where(np.abs(ratio) <= 1, projection - ratio, np.sign(ratio))
    alpha_terms = grad_out * np.where(below, 0, alpha_terms)
    grad_x = grad_out if straight_through else np.where(inside, grad_out, 0)
    return grad_x, alpha_terms.sum(), np.abs(alpha_terms).sum()


def gaussian(*shape, seed=0, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
