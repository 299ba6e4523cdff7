"""What is known now: sentences on results written by hand and on the committed ones, against scipy and counts."""

import csv
import itertools
import json
import re
import statistics

import numpy
import pytest
from scipy.stats import t as student_t
from scipy.stats import ttest_1samp, ttest_rel

from apot_lit.report.aims import read_aims
from apot_lit.report.collect import Collection, collect
from apot_lit.report.compose import document_sections
from apot_lit.report.findings import findings_list
from apot_lit.report.levels_compared import compared_families
from apot_lit.runs.text import listed
from tests.conftest import ROOT
from tests.report.test_hardware_report import FACTS, entry
from tests.report.test_levels_compared import write
from tests.report.test_report import result

NOTHING = Collection([], [], {})
AMONG = "Of the recipes themselves and of `best` with the small stem"


def sentences(collection, other=NOTHING, aims=(), prices=None):
    *numbered, empty, note = findings_list(collection, other, aims, prices).splitlines()
    assert empty == ""
    assert note.startswith("Differences are in points")
    found = [re.fullmatch(r"(\d+)\. (.+\.)", line) for line in numbered]
    assert [int(one[1]) for one in found] == list(range(1, 11))
    return [one[2] for one in found]


def single(collection):
    """What the paragraph below the list says of rows with one seed."""
    note = findings_list(collection, NOTHING, (), None).splitlines()[-1]
    return re.search(rf"{AMONG}, one seed alone, which is no verdict, have (.+)\.$", note)[1]


def test_without_runs_every_sentence_says_so_and_holds_no_number_of_results(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(result(bit=5)))
    collection = collect(tmp_path)
    said = sentences(Collection([], [], {}))
    assert len(said) == 10
    for sentence in said[:9]:
        assert re.search(r"not compared with several seeds yet|not known yet|no results|was not measured", sentence)
        assert not re.search(r"\d\.\d", sentence)
    assert said[9] == "Nothing was aimed at."
    note = findings_list(NOTHING, NOTHING, (), None)
    assert note.endswith(f"Every row {AMONG[0].lower()}{AMONG[1:]} has several seeds.")
    assert single(collection) == "reference: resnet10"


def test_what_has_one_seed_is_named_by_network_bits_or_row(tmp_path):
    runs = {"resnet10": [(4, 1, 2), (4, 0, 1)], "resnet18": [(5, 1, 1)], "resnet34": [(4, 1, 2), (3, 1, 1), (3, 0, 1)]}
    runs["resnet34"] += [(2, 1, 1), (32, 0, 1)]
    for model, rows in runs.items():
        for bit, power, seeds in rows:
            for seed in range(seeds):
                name = f"{model}_{bit}_{power}_{seed}.json"
                (tmp_path / name).write_text(json.dumps(result(model, bit, power=power, seed=seed)))
    expected = "resnet10 uniform 4 bits, resnet18, resnet34 at 3 and 2 bits and resnet34 in float32"
    assert single(collect(tmp_path)) == f"reference: {expected}"


def test_a_comparison_with_many_seeds(tmp_path):
    draw = numpy.random.default_rng(4)
    runs = {}
    for bit, lead in ((4, 0.01), (3, 0.0)):
        runs[bit] = draw.normal(0.98 + lead, 0.0005, 20), draw.normal(0.98, 0.0005, 20)
        for seed in range(20 if bit == 4 else 12):
            for power, values in ((1, runs[bit][0]), (0, runs[bit][1])):
                write(tmp_path, f"{bit}_{power}_{seed}", bit=bit, power=power, seed=seed, test=float(values[seed]))
    said = sentences(collect(tmp_path))[0]
    four = 100 * (runs[4][0] - runs[4][1])
    half = student_t.ppf(0.975, 19) * four.std(ddof=1) / 20**0.5
    assert f"{four.mean():+.3f} ± " in said
    shown = re.search(r"± (\d\.\d+) \(4 bits\)", said)
    assert float(shown[1]) >= round(half, 3)  # the wider of two
    assert "(3 bits, 12 of 20 seeds so far)" in said
    assert "of 2 differences (APoT minus uniform) 1 counts after correction for their number: +" in said
    assert re.search(r"their number: \S+ ± \S+ \(4 bits\); the others are \S+ ± \S+ \(3 bits,", said)
    assert "2 of 4 such comparisons are still to come." in said
    assert "ResNet-10 of width 16 by the recipe `fast`, 20 seeds" in said
    assert sentences(collect(tmp_path))[1].startswith("APoT and PoT levels were not compared with several seeds yet")


def test_narrow_networks_and_powers_of_two_name_their_width(tmp_path):
    for seed in range(7):  # more than of any other width
        write(tmp_path, f"wide{seed}", bit=4, power=1, seed=seed, test=0.99)
    for seed in range(3):
        for power, shift in ((1, 0.002), (0, 0.0)):
            test = 0.97 + shift + seed / 1000 * (1 + power / 10)
            write(tmp_path, f"n{power}{seed}", width=4, bit=2, power=power, seed=seed, test=test)
        write(tmp_path, f"a{seed}", width=8, bit=3, power=1, seed=seed, test=0.98 + seed / 1000)
        write(tmp_path, f"p{seed}", width=8, bit=3, power=1, seed=seed, test=0.978 + seed / 900, quant_additive=False)
    _, pot, narrow, *_ = sentences(collect(tmp_path))
    assert "ResNet-10 of width 8 and 4 by the recipe `fast`, 10 seeds" in narrow
    assert "+0.210 ± " in narrow  # 0.2 points and a tenth of 0, 0.1 and 0.2
    assert "(width 4 at 2 bits, 3 of 10 seeds so far)" in narrow
    assert "5 of 6 such comparisons are still to come." in narrow
    assert "of width 16, 8 and 4 by the recipe `fast`, 20 and 10 seeds" in pot
    assert "of 1 difference (APoT minus PoT) 1 counts after correction for their number: " in pot
    assert "+0.189 ± " in pot  # 0.2 less the mean of 0, 1/90 and 2/90
    assert "6 of 7 such comparisons" in pot


def test_quantisation_against_float_is_paired_over_networks_and_seeds(tmp_path):
    kinds = {("resnet10", 0): (0.990, 0.993), ("resnet10", 1): (0.991, 0.9925), ("resnet18", 0): (0.989, 0.9931)}
    for (model, seed), (apot, full) in kinds.items():
        for bit, test in ((3, apot), (32, full)):
            content = result(model=model, bit=bit, seed=seed, test=test, recipe="best")
            (tmp_path / f"{model}_{bit}_{seed}.json").write_text(json.dumps(content))
    (tmp_path / "alone.json").write_text(json.dumps(result(bit=3, seed=7, test=0.5, recipe="best")))
    said = sentences(collect(tmp_path))[3]
    differences = [100 * (apot - full) for apot, full in kinds.values()]
    half = student_t.ppf(0.975, 2) * statistics.stdev(differences) / 3**0.5
    wanted = f"{statistics.mean(differences):+.2f} ± {half:.2f} (APoT 3 bits)"
    assert f"by the recipe `best` (3 pairs each): {wanted} is" in said


def test_against_float_a_recipe_with_many_seeds_of_one_network_speaks_of_that_network(tmp_path):
    for seed in range(3):
        for power, test in ((1, 0.98), (0, 0.981)):
            write(tmp_path, f"q{power}{seed}", bit=2, power=power, seed=seed, test=test + seed / 1000)
        write(tmp_path, f"full{seed}", bit=32, power=1, seed=seed, test=0.99 + seed / 990)
    for bit in (2, 32):
        (tmp_path / f"other{bit}.json").write_text(json.dumps(result(model="resnet18", bit=bit, recipe="fast")))
    said = sentences(collect(tmp_path))[3]
    assert "by the recipe `fast` with resnet10 (3 pairs each): -1.00 ± " in said
    assert re.search(r"-1\.00 ± \S+ \(APoT 2 bits\) and -0\.90 ± \S+ \(uniform 2 bits\) are more than noise", said)


def test_depth_is_paired_over_levels_bits_and_seeds(tmp_path):
    gains = {(4, 1, 0): 0.001, (4, 1, 1): 0.002, (4, 0, 0): 0.003, (2, 1, 0): -0.002}
    for (bit, power, seed), gain in gains.items():
        for model, test in (("resnet10", 0.99), ("resnet34", 0.99 + gain)):
            content = result(model=model, bit=bit, power=power, seed=seed, test=test, recipe="best")
            (tmp_path / f"{model}_{bit}_{power}_{seed}.json").write_text(json.dumps(content))
    (tmp_path / "no_pair.json").write_text(json.dumps(result("resnet34", 3, test=0.5, recipe="best")))
    (tmp_path / "none.json").write_text(json.dumps(result("resnet18", 3, test=0.5, recipe="best")))
    said = sentences(collect(tmp_path))[7]
    half = student_t.ppf(0.975, 3) * statistics.stdev(100 * gain for gain in gains.values()) / 2
    assert said == (
        "What deeper networks give over levels, bits and seeds, minus resnet10, by `best` (4 pairs each): "
        f"+0.10 ± {half:.2f} (resnet34) is within noise."
    )


def test_parts_fashion_and_the_small_stem(tmp_path):
    for seed in range(3):  # one more than without the part
        write(tmp_path, f"usual{seed}", bit=2, power=1, seed=seed, test=0.98)
    for seed in range(2):
        write(tmp_path, f"part{seed}", bit=2, power=1, seed=seed, test=0.983 + seed / 1000, quant_act_bit=32)
    for stem, test in (("reference", 0.995), ("small", 0.9972)):
        content = result(model="resnet18", bit=4, test=test, recipe="best", lr=0.2)
        content["config"]["model"]["stem"] = stem
        (tmp_path / f"{stem}.json").write_text(json.dumps(content))
    (tmp_path / "more.json").write_text(json.dumps(result(model="resnet18", bit=3, recipe="best", lr=0.2)))
    fashion = tmp_path / "fashion"
    fashion.mkdir()
    for seed in range(2):
        for power, test in ((1, 0.91), (0, 0.905)):
            content = result(model="resnet18", bit=4, power=power, seed=seed, test=test + seed / 1000, recipe="best")
            content["config"]["data"]["name"] = "fashion_mnist"
            (fashion / f"{power}_{seed}.json").write_text(json.dumps(content))
    other = collect(fashion)
    for path in fashion.iterdir():
        path.unlink()
    said = sentences(collect(tmp_path), other)
    assert re.search(
        r"`fast` \(2 pairs each\): \+0\.35 ± \d\.\d\d \(activations stay float, 2 bits\) is within", said[4]
    )
    assert said[4].endswith("11 of 12 such changes were not run yet.")
    assert "resnet18 by the recipe `best` (2 pairs each): +0.50 ± " in said[5]
    assert "`best`: +0.22 ± 0.09 (1 seed) over all; of single rows (1 pair each): +0.22 ± " in said[6]
    assert said[6].endswith("(resnet18 APoT 4 bits) is of a single pair.")


def test_the_price_in_hardware_is_that_of_multiply_accumulates(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(result()))
    mixed = {**entry("mac", "apot", 4, 90, 8), "act_scheme": "uniform"}
    units = [entry("mac", "apot", 4, 120, 9), entry("mac", "uniform", 4, 100, 8), mixed]
    units += [entry("mac", scheme, 8, 200, 9) for scheme in ("apot", "uniform")]  # no network has 8 bits
    (tmp_path / "hardware_a.json").write_text(json.dumps({**FACTS, "units": units}))
    said = document_sections(collect(tmp_path), {}, tmp_path)["known"].splitlines()[8]
    assert said.startswith("9. Against a multiply-accumulate of uniform levels")
    assert (
        "one of APoT levels takes +20 % at 4 bits; one of APoT weights and uniform activations takes -10 % at" in said
    )
    assert "8 bits" not in said


@pytest.fixture(scope="module")
def committed():
    collection = collect(ROOT / "results")
    text = document_sections(collection, {}, ROOT / "results")["known"]
    *numbered, _, note = text.splitlines()
    return collection, [line.partition(". ")[2] for line in numbered], note


def accuracies(pattern, which="test_accuracy"):
    found = {}
    for path in sorted((ROOT / "results").glob(pattern)):
        content = json.loads(path.read_text())
        found[content["config"]["seed"]] = content[which]
    return found


def best_of_small(bit, parameters, seeds):
    """What the network best in validation has, of those with at most so many parameters and at least so many seeds."""
    rows = {}
    for path in (ROOT / "results/best").glob(f"*_{bit}bit_apot_seed*.json"):
        if json.loads(path.read_text())["parameters"] <= parameters:
            rows.setdefault(path.stem.partition("_seed")[0], []).append(path.stem)
    names = [f"best/{name}_seed*.json" for name, files in rows.items() if len(files) >= seeds]
    chosen = max(names, key=lambda name: statistics.mean(accuracies(name, "val_accuracy").values()))
    return accuracies(chosen)


@pytest.mark.parametrize("bit", [5, 4, 3, 2])
def test_the_first_sentence_is_that_of_the_committed_files(committed, bit):
    apot, uniform = (accuracies(f"fast/resnet10_{bit}bit_{scheme}_seed*.json") for scheme in ("apot", "uniform"))
    seeds = sorted(apot.keys() & uniform.keys())
    first, second = ([one[seed] for seed in seeds] for one in (apot, uniform))
    mean = 100 * numpy.mean(numpy.subtract(first, second))
    compared = re.search(
        rf"([+-]\d\.\d{{3}}) ± (\d\.\d{{3}}) \({bit} bits(, (\d+) of 20 seeds so far)?\)", committed[1][0]
    )
    assert float(compared[1]) == pytest.approx(mean, abs=6e-4)
    interval = ttest_rel(first, second).confidence_interval(0.95)
    assert float(compared[2]) >= 100 * (interval.high - interval.low) / 2 - 6e-4
    assert (len(seeds) == 20) == (compared[3] is None)


def test_aims_that_are_missed_are_named_with_the_distance(committed):
    with (ROOT / "results/aims.csv").open(newline="") as file:
        aims = list(csv.DictReader(file))
    missed, met, open_aims = {}, 0, 0
    for aim in aims:
        stem = "" if aim["stem"] == "reference" else f"{aim['stem']}_"
        found = accuracies(f"best/{aim['model']}_{stem}{aim['bit']}bit_apot_seed*.json")
        name = aim["model"] if aim["stem"] == "reference" else f"{aim['model']}, {aim['stem']} stem"
        if aim["model"] == "any":
            found = best_of_small(int(aim["bit"]), int(aim["parameters"]), int(aim["seeds"]))
            name = f"any network of at most {int(aim['parameters']):,} parameters"
        if not found:
            open_aims += 1
            continue
        distance = float(aim["percent"]) - round(100 * statistics.mean(found.values()), 2)
        if distance > 0.001:
            missed.setdefault(name, []).append((f"{distance:.2f}", aim["bit"]))
        else:
            met += 1
    said = committed[1][9]
    assert f"Of {len(aims)} aims {met} are met" in said
    for name, own in missed.items():
        points, bits = (listed(values) for values in zip(*own, strict=True))
        assert f"{name} by {points} points at {bits} bits" in said
    assert said.count(" points at ") == len(missed)
    assert said.count("not run are") == bool(open_aims)


def test_what_results_say_by_hand_of_the_small_stem_at_two_bits():
    found = accuracies("best/resnet18_small_2bit_apot_seed*.json")
    assert len(found) == 5
    assert max(found, key=found.get) == 0
    assert statistics.mean(found.values()) < 0.9965 <= found[0] < 0.9975
    rest = (ROOT / "results/best").glob("*_2bit_*.json")
    assert max(json.loads(path.read_text())["test_accuracy"] for path in rest) == found[0]


def test_rows_of_one_seed_are_those_with_one_file(committed):
    for recipe, said in re.findall(r"(best|fast|reference): ([^;.]+)", committed[2]):
        for model in ("resnet10", "resnet18", "resnet34", "resnet50"):
            rows = {}
            for path in (ROOT / f"results/{recipe}").glob(f"{model}_*seed*.json"):
                if re.fullmatch(rf"{model}_(float|\dbit_(apot|uniform|pot))_seed\d+", path.stem):
                    rows.setdefault(path.stem.partition("_seed")[0], []).append(path)
            single = [name for name, files in rows.items() if len(files) == 1]
            assert (f"{model}" in re.split(r", | and ", said)) == (len(single) == len(rows) > 0)
            if "_float" in "".join(single) and len(single) < len(rows):
                assert f"{model} in float32" in said


def test_families_of_the_committed_results_are_the_widest_evidence(committed):
    wide, narrow = compared_families(committed[0])
    assert {width for width, *_ in wide.pairs} == {16}
    assert {width for width, *_ in narrow.pairs} == {8, 4}
    assert read_aims(committed[0], ROOT / "results/aims.csv")


def test_what_documents_say_of_levels_is_what_the_comparisons_say(committed):
    """Three documents say without numbers which differences count and which way they go."""
    counting = {
        key: compared.differences[key].difference
        for compared in compared_families(committed[0])
        for key in compared.significant()
    }
    uniform = {key: value for key, value in counting.items() if key[2] == "uniform"}
    assert list(uniform) == [(4, 4, "uniform")]
    assert uniform[4, 4, "uniform"] < 0
    pot = {key: value for key, value in counting.items() if key[2] == "pot"}
    assert len(pot) == 7
    assert min(pot.values()) > 0


@pytest.mark.parametrize("recipe", ["best", "reference"])
def test_what_results_say_by_hand_of_full_precision(recipe):
    """Down to 3 bits nothing is lost, but by the published recipe with uniform levels, one of eight comparisons."""
    p_values = {}
    for bit, scheme in itertools.product((5, 4, 3, 2), ("apot", "uniform")):
        lost = []
        for model in ("resnet10", "resnet18", "resnet34", "resnet50"):
            full, few = (accuracies(f"{recipe}/{model}_{kind}_seed*.json") for kind in ("float", f"{bit}bit_{scheme}"))
            lost += [full[seed] - few[seed] for seed in full.keys() & few.keys()]
        p_values[bit, scheme] = ttest_1samp(lost, 0, alternative="greater").pvalue * 2
    below = {key for key, p in p_values.items() if p < 0.05}
    assert below == {(2, "apot"), (2, "uniform"), *([(3, "uniform")] if recipe == "reference" else [])}
    assert max(p_values[2, scheme] for scheme in ("apot", "uniform")) < 0.05 / 8
    assert p_values[3, "uniform"] > 0.05 / 6  # of those that are left


def test_what_results_say_by_hand_of_depth():
    kinds = ["float", *(f"{bit}bit_{scheme}" for bit in (5, 4, 3, 2) for scheme in ("apot", "uniform"))]
    for model in ("resnet18", "resnet34", "resnet50"):
        gains = []
        for kind in kinds:
            deep, shallow = (accuracies(f"best/{name}_{kind}_seed*.json") for name in (model, "resnet10"))
            gains += [deep[seed] - shallow[seed] for seed in deep.keys() & shallow.keys()]
        assert len(gains) >= 25
        assert 0 < statistics.mean(gains) < 0.0005
