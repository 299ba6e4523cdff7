"""The comparison with many seeds against scipy, brute force and counts known beforehand."""

import itertools
import json
import random

import numpy
import pytest
from scipy.stats import false_discovery_control, nct, ttest_rel
from scipy.stats import t as student_t

from apot_lit.report.collect import Collection, collect
from apot_lit.report.levels_compared import FAMILIES, levels_compared
from apot_lit.report.parts import PARTS, effects, parts_table
from apot_lit.report.statistics import Outcome, compare, holm
from tests.report.test_report import result


def cells(text, start):
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def outcomes(accuracies):
    return {seed: Outcome(accuracy, 10_000, None) for seed, accuracy in enumerate(accuracies)}


def test_the_p_value_is_that_of_a_paired_t_test():
    draw = numpy.random.default_rng(0)
    first, second = draw.normal(0.99, 0.001, (2, 7))
    assert compare(outcomes(first), outcomes(second)).p_value == pytest.approx(ttest_rel(first, second).pvalue)
    assert compare(outcomes(first[:1]), outcomes(second[:1])).p_value is None
    assert compare(outcomes([0.9, 0.8]), outcomes([0.9, 0.8])).p_value == 1


def test_the_visible_difference_is_found_in_about_80_of_100_repetitions():
    """The power of a t-test is known exactly, from the noncentral distribution."""
    draw = numpy.random.default_rng(1)
    for pairs in (10, 20):
        one = compare(outcomes(draw.normal(0.99, 0.001, pairs)), outcomes(draw.normal(0.99, 0.001, pairs)))
        for level in (0.05, 0.05 / 7, 0.05 / 10):
            limit = student_t.ppf(1 - level / 2, pairs - 1)
            power = nct.sf(limit, pairs - 1, one.visible(level) / (one.pair_std / pairs**0.5))
            assert 0.77 < power < 0.83


def test_holm_is_the_closure_of_bonferroni():
    """A hypothesis is rejected if every intersection with others is, each by Bonferroni: all of them are tried."""
    generator = random.Random(0)
    for _ in range(20):
        p_values = {key: generator.random() ** 3 for key in range(5)}
        corrected = holm(p_values, 5)
        for key in p_values:
            among = [{key, *others} for size in range(5) for others in itertools.combinations(p_values, size)]
            closed = max(min(1, len(some) * min(p_values[one] for one in some)) for some in among)
            assert corrected[key] == pytest.approx(closed)


def test_comparisons_that_are_still_to_come_count():
    few = holm({"a": 0.01, "b": 0.02}, 7)
    assert few == pytest.approx({"a": 0.07, "b": 0.12})
    for others in itertools.product((0.2, 0.6, 1.0), repeat=5):  # whatever they turn out to be, it gets no larger
        whole = holm({"a": 0.01, "b": 0.02, **dict(enumerate(others))}, 7)
        assert whole["a"] <= few["a"] + 1e-12
        assert whole["b"] <= few["b"] + 1e-12
    assert false_discovery_control([0.01, 0.02]).max() <= 0.12  # a weaker correction is not larger


def write(directory, name, **options):
    width, test = options.pop("width", 16), options.pop("test")
    changed = result(recipe="fast", test=test, **{key: options.pop(key) for key in ("bit", "power", "seed")})
    changed["config"]["model"]["width"] = width
    changed["config"]["quant"] |= {key.removeprefix("quant_"): value for key, value in options.items()}
    (directory / f"{name}.json").write_text(json.dumps(changed))


def test_families_have_the_comparisons_of_the_design():
    wide, narrow = FAMILIES
    assert len(wide.comparisons()) == 7
    assert len(narrow.comparisons()) == 10


def test_the_tables_of_a_difference_that_is_there_and_of_one_that_is_not(tmp_path):
    draw = numpy.random.default_rng(2)
    same = [(draw.integers(9_890, 9_911), draw.integers(9_890, 9_911)) for _ in range(20)]
    for seed in range(20):
        wrong = int(draw.integers(-1, 2))
        write(tmp_path, f"a4_{seed}", bit=4, power=1, seed=seed, test=0.99)
        write(tmp_path, f"u4_{seed}", bit=4, power=0, seed=seed, test=0.98 + 0.0001 * wrong)
        write(tmp_path, f"a3_{seed}", bit=3, power=1, seed=seed, test=same[seed][0] / 10_000)
        write(tmp_path, f"u3_{seed}", bit=3, power=0, seed=seed, test=same[seed][1] / 10_000)
    for seed in range(2):
        for power in (0, 1):
            write(tmp_path, f"w8_{power}_{seed}", width=8, bit=2, power=power, seed=seed, test=0.97)
    text = levels_compared(collect(tmp_path))
    assert (
        "Of the wide family 2 of 7 comparisons have all their 20 seeds; at width 16 and 4 bits APoT is better" in text
    )
    assert "than uniform." in text
    assert "Of the narrow family 0 of 10 comparisons have all their 10 seeds; no difference has a corrected" in text
    compared = [line for line in text.splitlines() if "| uniform" in line and "APoT" not in line]
    assert len(compared) == 3
    three = next(
        [cell.strip() for cell in line.strip("|").split("|")] for line in compared if line.split("|")[2].strip() == "3"
    )
    p_value = ttest_rel([a for a, _ in same], [u for _, u in same]).pvalue
    assert three[3] == "20"
    assert float(three[4]) == pytest.approx(numpy.mean([a - u for a, u in same]) / 100, abs=6e-4)
    assert float(three[8]) == pytest.approx(p_value, abs=6e-4)
    assert float(three[9]) == pytest.approx(min(1, 6 * p_value), abs=6e-4)  # 4 bits come first, 5 are still to come
    four = next(line for line in compared if line.split("|")[2].strip() == "4")
    assert [cell.strip() for cell in four.strip("|").split("|")][8:] == ["<0.001", "<0.001"]  # a point of 0.01 scatter
    narrow = next(line for line in compared if line.split("|")[1].strip() == "8")
    assert "2 of 10" in narrow


def test_a_part_is_compared_with_runs_of_the_same_seeds(tmp_path):
    for seed, usual, weights_only, edges in ((0, 0.99, 0.991, 0.98), (1, 0.98, 0.983, 0.98), (2, 0.97, None, None)):
        write(tmp_path, f"usual_{seed}", bit=2, power=1, seed=seed, test=usual)
        if weights_only:
            write(tmp_path, f"part_{seed}", bit=2, power=1, seed=seed, test=weights_only, quant_act_bit=32)
            write(tmp_path, f"edge_{seed}", bit=2, power=1, seed=seed, test=edges, quant_first_bit=2, quant_last_bit=2)
    lines = parts_table(collect(tmp_path)).splitlines()[2:]
    assert len(lines) == 3
    assert "98.00 ± 1.00" in lines[0]
    assert "+0.20" in next(line for line in lines if "act_bit" in line)
    assert "-0.50" in next(line for line in lines if "last_bit" in line)
    assert len({part.name for part in PARTS}) == 6


def test_the_effect_of_a_part_is_that_of_the_table_and_says_what_was_not_run(tmp_path):
    for seed, usual, raw in ((0, 0.99, 0.985), (1, 0.98, 0.977), (2, 0.97, 0.968), (3, 0.97, None)):
        write(tmp_path, f"usual_{seed}", bit=2, power=1, seed=seed, test=usual)
        if raw:
            write(tmp_path, f"raw_{seed}", bit=2, power=1, seed=seed, test=raw, quant_weight_norm=False)
    found = effects(collect(tmp_path))
    assert found.keys() == {f"effect_{key}" for key in ("weight_norm", "thresholds_stay", "thresholds_rate", "edges")}
    differences = numpy.array([-0.5, -0.3, -0.2])
    half = student_t.ppf(0.975, 2) * differences.std(ddof=1) / 3**0.5
    assert found["effect_weight_norm"] == (
        f"weights are not normalised: at 2 bits -0.33 ± {half:.2f} (within noise, 3 pairs), at 3 bits not run yet"
    )
    assert found["effect_edges"] == "first and last layer at `bit` too: not run yet"
    assert effects(Collection([], [], {})) == {}


def test_without_runs_there_is_no_table_of_parts(tmp_path):
    write(tmp_path, "one", bit=5, power=1, seed=0, test=0.99)
    assert parts_table(collect(tmp_path)) is None
