"""Pictures show every single run, and what is drawn around the runs is what scipy and brute force say."""

import json

import numpy
import pytest
from matplotlib import pyplot
from matplotlib.collections import PathCollection
from scipy.stats import t as student_t
from scipy.stats import ttest_rel

from apot_lit.report.collect import collect
from apot_lit.report.dots import bit_axis, side_by_side
from apot_lit.report.interactive import accuracy_picture
from apot_lit.report.levels_picture import levels_picture
from apot_lit.report.plots import accuracy_against_bits
from tests.report.test_levels_compared import write
from tests.report.test_report import result


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def offsets(axes):
    """The places of all dots of a panel, a list for each scatter."""
    return [numpy.asarray(dots.get_offsets()) for dots in axes.collections if isinstance(dots, PathCollection)]


@pytest.fixture
def accuracies(tmp_path):
    """By bits and scheme; four equal ones among them, which must all be seen."""
    found = {(4, 1): [0.99, 0.99, 0.99, 0.99, 0.992], (4, 0): [0.985], (2, 1): [0.97, 0.975], (32, 0): [0.994, 0.995]}
    for (bit, power), values in found.items():
        for seed, test in enumerate(values):
            content = result(bit=bit, power=power, seed=seed, test=test)
            (tmp_path / f"{bit}_{power}_{seed}.json").write_text(json.dumps(content))
    return found


def test_every_run_is_a_dot_beside_its_mean(accuracies, tmp_path):
    (group,) = collect(tmp_path).groups
    (axes,) = accuracy_against_bits(group).axes
    drawn = {tuple(sorted(numpy.round(dots[:, 1] / 100, 6))): dots[:, 0] for dots in offsets(axes)}
    assert drawn.keys() == {tuple(sorted(values)) for values in accuracies.values()}
    assert all(len(set(places)) == len(places) for places in drawn.values())
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "4", "32"]
    assert sorted(drawn[0.994, 0.995]) == pytest.approx([5, 5], abs=0.3)  # right of the widest


def test_the_page_has_the_same_dots(accuracies, tmp_path):
    (group,) = collect(tmp_path).groups
    dots = [trace for trace in accuracy_picture(group).data if trace.mode == "markers"]
    shown = sorted(round(value / 100, 6) for trace in dots for value in trace.y)
    assert shown == sorted(value for values in accuracies.values() for value in values)
    assert len({place for trace in dots for place in trace.x}) == len(shown)


def test_dots_stand_within_their_width_and_full_precision_has_a_place():
    for count in (1, 2, 7):
        places = side_by_side(3.0, count, 0.5)
        assert numpy.mean(places) == pytest.approx(3)
        assert len(set(places)) == count
        assert max(abs(place - 3) for place in places) < 0.25
    assert bit_axis([5, 2, 32, 5]) == {2: 2, 5: 5, 32: 6}
    assert bit_axis([32]) == {32: 32}


def test_differences_have_a_dot_for_each_pair_their_interval_and_the_band_of_what_is_visible(tmp_path):
    draw = numpy.random.default_rng(3)
    found = {seed: draw.integers(9_880, 9_930, 3) / 10_000 for seed in range(6)}
    for seed, (apot, uniform, pot) in found.items():
        write(tmp_path, f"a_{seed}", bit=4, power=1, seed=seed, test=apot)
        write(tmp_path, f"u_{seed}", bit=4, power=0, seed=seed, test=uniform)
        write(tmp_path, f"p_{seed}", bit=4, power=1, seed=seed, test=pot, quant_additive=False)
    for power in (0, 1):
        write(tmp_path, f"narrow_{power}", width=8, bit=2, power=power, seed=0, test=0.97 + power / 1000)
    write(tmp_path, "alone", bit=4, power=1, seed=6, test=0.5)  # has no pair
    figure = levels_picture(collect(tmp_path))
    against_uniform, against_pot, narrow, nothing = figure.axes
    for axes, other in ((against_uniform, 1), (against_pot, 2)):
        first, second = (numpy.array([values[which] for values in found.values()]) for which in (0, other))
        dots, *_ = offsets(axes)
        assert dots[:, 0] == pytest.approx(100 * (first - second))
        interval = ttest_rel(first, second).confidence_interval(0.95)
        (container,) = (one for one in axes.containers if hasattr(one, "has_xerr"))
        (bars,) = container[2]
        assert bars.get_segments()[0][:, 0] == pytest.approx([100 * interval.low, 100 * interval.high])
        # Counts in 80 of 100 repetitions: quantiles of both errors, times the standard error of the mean; the first
        # of them of two sides, and of a seventh of 5 %, since the family has seven comparisons.
        error = numpy.std(first - second, ddof=1) / 6**0.5
        band = 100 * error * (student_t.ppf(1 - 0.05 / 14, 5) + student_t.ppf(0.8, 5))
        (bar,) = axes.patches
        assert (bar.get_x(), bar.get_x() + bar.get_width()) == (pytest.approx(-band), pytest.approx(band))
    assert [axes.get_title() for axes in figure.axes] == ["APoT minus uniform", "APoT minus PoT"] * 2
    assert [tick.get_text() for tick in against_uniform.get_yticklabels()] == ["width 16, 4 bits"]
    assert [tick.get_text() for tick in narrow.get_yticklabels()] == ["width 8, 2 bits"]
    assert len(narrow.patches) == 0  # one pair says nothing of what is visible
    assert offsets(narrow)[0][:, 0] == pytest.approx([0.1])
    assert offsets(nothing) == []


def test_without_a_pair_there_is_no_picture(tmp_path):
    write(tmp_path, "one", bit=4, power=1, seed=0, test=0.99)
    assert levels_picture(collect(tmp_path)) is None
