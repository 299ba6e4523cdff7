"""Means over seeds, and whether a difference is more than noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

# Student's t, two-sided 95 %, by degrees of freedom.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_T95_MANY = 2.145  # not below the true value for any further degree of freedom


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


@dataclass(frozen=True)
class Comparison:
    """A difference of two accuracies, paired over seeds.

    Attributes:
        difference: mean over the common seeds of first minus second.
        half_width: half the 95 % confidence interval, None with a single seed.
        seeds: the common seeds.
    """

    difference: float
    half_width: float | None
    seeds: tuple[int, ...]

    @property
    def more_than_noise(self) -> bool | None:
        """Whether the confidence interval leaves out 0; None where there is none."""
        return None if self.half_width is None else abs(self.difference) > self.half_width


def compare(first: dict[int, float], second: dict[int, float]) -> Comparison | None:
    """Compares values of the same seeds by a paired t-test.

    With d_i the difference at seed i, the interval is ``mean(d) +- t * std(d) / sqrt(n)``, t the two-sided 95 %
    quantile of Student's distribution with n - 1 degrees of freedom.

    Args:
        first: value by seed.
        second: value by seed.

    Returns:
        The comparison over the seeds that both have, None if there is none.
    """
    seeds = tuple(sorted(first.keys() & second.keys()))
    if not seeds:
        return None
    differences = spread([first[seed] - second[seed] for seed in seeds])
    half_width = None
    if differences.std is not None:
        degrees = len(seeds) - 1
        t = _T95[degrees - 1] if degrees <= len(_T95) else _T95_MANY
        half_width = t * differences.std / math.sqrt(len(seeds))
    return Comparison(differences.mean, half_width, seeds)
