"""Means over seeds, and whether a difference is more than noise."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from scipy.stats import norm
from scipy.stats import t as student_t

SIGNIFICANT = 0.05
"""A difference whose p-value, corrected for the number of comparisons, is below this counts."""
_NORMAL95 = float(norm.ppf(0.975))


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
class Outcome:
    """What a network made of the test images.

    Attributes:
        accuracy: share of them classified correctly.
        images: their number.
        wrong: positions of the others, None where they are not known.
    """

    accuracy: float
    images: int
    wrong: frozenset[int] | None


def mean_half_width(outcomes: Sequence[Outcome]) -> float:
    """Half the 95 % interval of the mean accuracy of networks that differ in their seed.

    The wider of two: that of n seeds, ``t * std / sqrt(n)`` with t of Student's distribution with n - 1 degrees of
    freedom, and that of the test images, which all seeds share, ``1.96 * sqrt(p * (1 - p) / images)``. One seed has
    only the latter.
    """
    accuracies = spread([outcome.accuracy for outcome in outcomes])
    images = _NORMAL95 * binomial_error(accuracies.mean, min(outcome.images for outcome in outcomes))
    return max(images, seed_half_width(accuracies) or 0.0)


def seed_half_width(values: Spread) -> float | None:
    """Half the 95 % interval of a mean by the scatter of its n values, ``t * std / sqrt(n)``; None for a single one."""
    if values.std is None:
        return None
    return float(student_t.ppf(0.975, values.count - 1)) * values.std / math.sqrt(values.count)


@dataclass(frozen=True)
class Comparison:
    """A difference of two accuracies, paired over seeds, or over networks and seeds.

    Attributes:
        difference: mean over the pairs of first minus second.
        pair_half_width: half the 95 % confidence interval by the scatter of the pairs, None with a single one.
        image_half_width: half the 95 % confidence interval by the scatter of the test images.
        pairs: what both have an outcome of.
        pair_std: standard deviation of the pairs' differences, None with a single one.
    """

    difference: float
    pair_half_width: float | None
    image_half_width: float
    pairs: tuple[Hashable, ...]
    pair_std: float | None = None

    @property
    def half_width(self) -> float:
        """Half the wider interval: few pairs may agree by chance, and many share their test images."""
        return max(self.pair_half_width or 0.0, self.image_half_width)

    @property
    def more_than_noise(self) -> bool | None:
        """Whether both confidence intervals leave out 0; None with a single pair, which says nothing of training."""
        return None if self.pair_half_width is None else abs(self.difference) > self.half_width

    @property
    def p_value(self) -> float | None:
        """Two-sided p of the paired t-test, ``P(|T| >= |mean| / (std / sqrt(n)))``; None with a single pair."""
        if self.pair_std is None:
            return None
        if self.pair_std == 0:
            return float(self.difference == 0)
        freedom = len(self.pairs) - 1
        return float(2 * student_t.sf(abs(self.difference) * math.sqrt(len(self.pairs)) / self.pair_std, freedom))

    def visible(self, level: float) -> float | None:
        """The true difference that a paired t-test finds in about 80 of 100 repetitions of so many pairs.

        ``(t_(1 - level / 2) + t_0.8) * std / sqrt(n)``, both of Student's distribution with n - 1 degrees of freedom;
        None with a single pair. Source: Cohen, "Statistical Power Analysis", 1988, chapter 2, in its usual
        approximation.

        Args:
            level: the p-value below which the test finds a difference. With 0.05 / m one of m comparisons counts under
                Holm's correction, whatever the others are.
        """
        if self.pair_std is None:
            return None
        freedom = len(self.pairs) - 1
        quantiles = float(student_t.ppf(1 - level / 2, freedom) + student_t.ppf(0.8, freedom))
        return quantiles * self.pair_std / math.sqrt(len(self.pairs))


def holm(p_values: Mapping[Any, float], comparisons: int) -> dict[Any, float]:
    """P-values corrected for the number of comparisons of their family.

    The i-th smallest of m becomes ``max over j <= i of min(1, (m - j + 1) p_j)``. Source: Holm, "A Simple Sequentially
    Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.

    Args:
        p_values: by comparison.
        comparisons: m; those without a p-value yet count as the largest, which makes the others no smaller.
    """
    corrected, largest = {}, 0.0
    for rank, (key, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (comparisons - rank) * p))
        corrected[key] = largest
    return corrected


def corrected_p_values(differences: Mapping[Any, Comparison], comparisons: int | None = None) -> dict[Any, float]:
    """P-values by Holm's method of the differences that are of several pairs.

    Args:
        differences: of one family.
        comparisons: of the whole family, those still to come as well; None: those that are of several pairs.
    """
    p_values = {key: one.p_value for key, one in differences.items() if one.p_value is not None}
    return holm(p_values, len(p_values) if comparisons is None else comparisons)


def compare(first: Mapping[Any, Outcome], second: Mapping[Any, Outcome]) -> Comparison | None:
    """Compares outcomes of the same seeds, or networks and seeds, by a paired t-test and over test images.

    With d_i the difference of pair i, the interval over n pairs is ``mean(d) +- t * std(d) / sqrt(n)``, t the two-sided
    95 % quantile of Student's distribution with n - 1 degrees of freedom. With e_j the mean over the pairs of [first is
    right on image j] - [second is], the interval over N images is ``mean(e) +- 1.96 * std(e) / sqrt(N)``; with one
    pair that is McNemar's comparison. A pair whose wrong images are not known adds to std(e) the most that it can: its
    share of the pairs times the root of both error rates together.

    Args:
        first: outcome by seed, or by network and seed.
        second: likewise.

    Returns:
        The comparison over the pairs that both have, None if there is none.
    """
    pairs = tuple(sorted(first.keys() & second.keys()))
    if not pairs:
        return None
    both = [(first[pair], second[pair]) for pair in pairs]
    differences = spread([one.accuracy - other.accuracy for one, other in both])
    images = _NORMAL95 * _image_error(both)
    return Comparison(differences.mean, seed_half_width(differences), images, pairs, differences.std)


def _image_error(both: Sequence[tuple[Outcome, Outcome]]) -> float:
    """Standard error that the choice of test images gives to the mean difference."""
    images, bound = both[0][0].images, 0.0
    balance: Counter[int] = Counter()  # by image: in how many pairs only the second is wrong, less those of the first
    for one, other in both:
        if one.wrong is None or other.wrong is None:
            bound += math.sqrt(2 - one.accuracy - other.accuracy)
        else:
            balance.update(other.wrong)
            balance.subtract(one.wrong)
    total, squares = sum(balance.values()), sum(value**2 for value in balance.values())
    deviation = math.sqrt(images * squares - total**2) / images  # all other images are right, or wrong, for both
    return (deviation + bound) / len(both) / math.sqrt(images)  # a sum deviates by no more than its parts together
