"""Several differences in a sentence: made-up runs, against scipy."""

import re
from types import SimpleNamespace

import numpy
import pytest
from scipy.stats import t as student_t
from scipy.stats import ttest_1samp

from apot_lit.report.pairs import difference
from apot_lit.report.statistics import Outcome
from apot_lit.report.verdicts import extent, verdicts


def pairs(*gains, base=0.9):
    """One pair of runs of a hundred million images for each gain in points, by seed."""

    def run(accuracy):
        return SimpleNamespace(outcome=Outcome(accuracy, 10**8, None), machine="Z80")

    return {("net", seed): (run(base + gain / 100), run(base)) for seed, gain in enumerate(gains)}


def test_each_verdict_has_a_clause_and_scipy_gives_the_same():
    changes = {"a": (0.1, 0.3), "b": (0.5, 0.51, 0.52), "c": (0.2,), "d": (-0.6, -0.63, -0.61)}
    said = verdicts([(name, pairs(*gains)) for name, gains in changes.items()])
    counts, more, within, single = re.fullmatch(r"\((.+)\): (.+); (.+); (.+)", said).groups()
    assert counts == "1 to 3 pairs each"
    told = r"\+0\.51 ± .+ \(b\) and -0\.61 ± .+ \(d\) are more than noise"
    assert re.fullmatch(told + r" \(also corrected for 3 comparisons\)", more)
    assert re.fullmatch(r"\+0\.20 ± .+ \(a\) is within noise", within)
    assert re.fullmatch(r"\+0\.20 ± .+ \(c\) is of a single pair", single)
    for name, gains in changes.items():
        if len(gains) > 1:
            interval = ttest_1samp(gains, 0).confidence_interval(0.95)
            half = re.search(rf"± (\d\.\d+) \({name}\)", said)[1]
            assert float(half) == pytest.approx((interval.high - interval.low) / 2, abs=0.02)
            assert (f"({name})" in more) == (interval.low > 0 or interval.high < 0)


@pytest.mark.parametrize(("number", "ranged"), [(1, False), (4, False), (5, True), (9, True)])
def test_many_differences_are_given_by_the_lowest_and_the_highest(number, ranged):
    gains = numpy.random.default_rng(number).permutation(number) / 10 - 0.3
    changes = [(f"row {gain:.1f}", pairs(gain)) for gain in gains]
    found = extent([(name, difference(both)) for name, both in changes], decimals=1)
    assert found.startswith("from ") == ranged
    named = re.findall(r"\(row (-?\d\.\d)\)", found)
    wanted = [min(gains), max(gains)] if ranged else gains
    assert named == [f"{gain:.1f}" for gain in wanted]
    assert verdicts(changes).startswith("(1 pair each): ")
    assert (f"{number} are of a single pair, from " in verdicts(changes)) == ranged


def test_those_that_count_among_many_are_named():
    """Bonferroni by hand: 0.03 of one, of four and of two; 0.002 of four."""

    def gains(p):
        """Three gains around 1 whose t-test has this p-value: they scatter by sqrt(3) / t."""
        step = 3**0.5 / float(student_t.isf(p / 2, 2))
        assert ttest_1samp([1 - step, 1, 1 + step], 0).pvalue == pytest.approx(p)
        return (1 - step, 1, 1 + step)

    def said(*p_values):
        return verdicts([(f"p{p}", pairs(*gains(p))) for p in p_values])

    assert said(0.03).endswith("is more than noise")
    assert "(p0.03) is more than noise (corrected for 2 comparisons, none is); " in said(0.03, 0.5)
    assert "are more than noise (corrected for 4 comparisons, only p0.002 is); " in said(0.03, 0.002, 0.5, 0.6)
    assert said(0.03, 0.002).endswith("are more than noise (also corrected for 2 comparisons)")  # 0.03 is left alone


def test_pairs_on_two_machines_are_counted():
    changes = [("a", pairs(0.1, 0.3)), ("b", pairs(0.2, 0.2))]
    for (_, seed), (one, _) in changes[1][1].items():
        one.machine = "6502" if seed else None  # of what is not known nothing is said
    assert verdicts(changes).startswith("(2 pairs each, 1 of 4 on two machines): ")
