"""Means over seeds, and whether a difference is more than noise."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

# Student's t, two-sided 95 %, by degrees of freedom; the last one also for more, where the true value is smaller.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


@dataclass(frozen=True)
class Spread:
    """Mean and deviation of a number of values.

    Attributes:
        mean: arithmetic mean.
        std: standard deviation with n - 1, None for a single value.
        count: number of values.
    """

    mean: float
    std: float | None
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and number of at least one value."""
    return Spread(mean(values), stdev(values) if len(values) > 1 else None, len(values))


def binomial_error(accuracy: float, images: int) -> float:
    """Standard error ``sqrt(p * (1 - p) / n)`` of an accuracy from 0 to 1 that was measured on so many images."""
    return math.sqrt(accuracy * (1 - accuracy) / images)


@dataclass(frozen=True)
class Comparison:
    """A difference of two accuracies, paired over seeds, or over networks and seeds.

    Attributes:
        difference: mean over the pairs of first minus second.
        half_width: half the 95 % confidence interval, None with a single pair.
        pairs: what both have a value of.
    """

    difference: float
    half_width: float | None
    pairs: tuple[Hashable, ...]

    @property
    def more_than_noise(self) -> bool | None:
        """Whether the confidence interval leaves out 0; None where there is none."""
        return None if self.half_width is None else abs(self.difference) > self.half_width


def compare(first: Mapping[Any, float], second: Mapping[Any, float]) -> Comparison | None:
    """Compares values of the same seeds, or networks and seeds, by a paired t-test.

    With d_i the difference of pair i, the interval is ``mean(d) +- t * std(d) / sqrt(n)``, t the two-sided 95 %
    quantile of Student's distribution with n - 1 degrees of freedom.

    Args:
        first: value by seed, or by network and seed.
        second: likewise.

    Returns:
        The comparison over the pairs that both have, None if there is none.
    """
    pairs = tuple(sorted(first.keys() & second.keys()))
    if not pairs:
        return None
    differences = spread([first[pair] - second[pair] for pair in pairs])
    half_width = None
    if differences.std is not None:
        degrees = len(pairs) - 1
        half_width = _T95[min(degrees, len(_T95)) - 1] * differences.std / math.sqrt(len(pairs))
    return Comparison(differences.mean, half_width, pairs)
