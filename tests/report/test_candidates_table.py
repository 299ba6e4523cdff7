"""Candidates for a recipe against differences that are worked out by hand."""

import json

import pytest
from scipy.stats import ttest_1samp

from apot_lit.report.candidates_table import candidates_section
from apot_lit.report.collect import collect
from tests.report.test_report import result

USUAL = {(2, 0): 0.9900, (2, 1): 0.9910, (2, 2): 0.9890, (32, 0): 0.9930, (32, 1): 0.9934, (32, 2): 0.9926}


def trial(bit, seed, accuracy, **data):
    run = result("resnet18", bit, seed=seed, recipe="best")
    del run["test_accuracy"]
    run["config"]["test"] = False
    run["config"]["data"] |= data
    return run | {"val_accuracy": accuracy}


@pytest.fixture
def best(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(result("resnet18", 2, recipe="best")))
    (group,) = collect(tmp_path).groups
    return group


def section(best, gains, **data):
    usual = [trial(bit, seed, accuracy) for (bit, seed), accuracy in USUAL.items()]
    changed = [
        trial(bit, seed, accuracy + gain, **data)
        for ((bit, seed), accuracy), gain in zip(USUAL.items(), gains, strict=False)
    ]
    return candidates_section([*changed, *usual], best)


def cells(text, start):
    (line,) = (line for line in text.splitlines() if line.startswith(f"| `{start}`"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_recipe_and_a_candidate_are_paired_by_precision_and_seed(best):
    gains = [0.001, 0.001, 0.001, 0.0, 0.0, -0.001]
    text = section(best, gains, rotate=5.0)
    interval = ttest_1samp([100 * gain for gain in gains], 0).confidence_interval()
    assert cells(text, "best") == ["`best`", "99.30 ± 0.04", "99.00 ± 0.10", "-", "-"]
    name, _, at_two_bits, pairs, change = cells(text, "data.rotate=5.0")
    assert at_two_bits == "99.10 ± 0.10"
    assert (pairs, change) == ("6", f"+0.03 ± {(interval.high - interval.low) / 2:.2f}")
    assert text.startswith("No candidate has won")
    assert name == "`data.rotate=5.0`"


@pytest.mark.parametrize(("gain", "won"), [(0.001, True), (-0.001, False)])
def test_only_a_gain_beyond_its_interval_wins(best, gain, won):
    gains = [gain + scatter for scatter in (0.0001, -0.0001) * 3]
    low, high = ttest_1samp(gains, 0).confidence_interval()
    assert low * high > 0  # both are beyond their interval
    assert section(best, gains, rotate=5.0).startswith("`data.rotate=5.0` wins.") == won


def test_one_pair_never_wins(best):
    text = section(best, [0.009], rotate=5.0)
    assert cells(text, "data.rotate=5.0")[3:] == ["1", "+0.90"]
    assert text.startswith("No candidate has won")


def test_a_candidate_that_leaves_an_option_at_its_default_is_named_by_it(best):
    assert cells(section(best, [0.0], flip=False), "data.flip=False")[3:] == ["1", "+0.00"]


def test_a_precision_that_was_not_run_says_so(best):
    assert cells(section(best, [0.0], rotate=5.0), "data.rotate=5.0")[1] == "not run yet"
