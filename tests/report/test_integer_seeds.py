"""Integers beside floats: the table of lines written by hand, and of the committed ones."""

import csv
import json
import statistics
from pathlib import PurePath

import pytest
from scipy.stats import t as student_t

from apot_lit.errors import UserError
from apot_lit.report.collect import collect
from apot_lit.report.compose import document_sections
from apot_lit.report.integer_seeds import INTEGER_SEEDS, integer_seeds_table, read_both
from apot_lit.runs.protocol import Row
from tests.conftest import ROOT

COLUMNS = "checkpoint,model,bit,scheme,arithmetic,stream_bit,accuracy,images,differing_predictions,cpu"


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


@pytest.fixture
def path(tmp_path):
    lines = [COLUMNS]
    for seed, (floats, integers, differing) in enumerate([(0.98, 0.981, 10), (0.99, 0.988, 30), (0.97, 0.97, 5)]):
        scheme, bit = ("uniform", 4) if seed == 2 else ("apot", 2)
        start = f"{seed}/best.ckpt,resnet10,{bit},{scheme}"
        lines += [f"{start},float,,{floats},1000,,abacus", f"{start},integer,12,{integers},1000,{differing},abacus"]
    lines.append("3/best.ckpt,resnet10,2,apot,integer,12,0.5,1000,0,abacus")  # never evaluated in floats
    path = tmp_path / INTEGER_SEEDS
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_table_has_means_over_the_networks_that_were_evaluated_both_ways(path):
    text = integer_seeds_table(path)
    _, _, *rows = cells(text)
    assert rows == [
        ["resnet10", "4", "uniform", "1", "97.00", "97.00", "+0.000", "5.0 (5 to 5)"],
        ["resnet10", "2", "APoT", "2", "98.50 ± 0.71", "98.45 ± 0.49", "-0.050", "20.0 (10 to 30)"],
    ]
    changes = [0.1, -0.2, 0]
    half = student_t.ppf(0.975, 2) * statistics.stdev(changes) / 3**0.5
    assert f"Over 3 networks integers minus floats is -0.033 ± {half:.3f} points" in text
    assert "between -0.20 and +0.10; of 1,000 predictions at most 30 differ." in text
    assert "stream of 12 bits; evaluated on abacus." in text


def test_a_damaged_file_is_one_line(path):
    path.write_text(path.read_text().replace("accuracy", "share"))
    (path.parent / "run.json").write_text((ROOT / "results/best/resnet10_2bit_apot_seed0.json").read_text())
    with pytest.raises(UserError, match=rf"{INTEGER_SEEDS}: damaged \(KeyError"):
        document_sections(collect(path.parent), {}, path.parent)


def test_committed_evaluations_are_of_the_runs_whose_results_are_committed():
    """In floats each is as accurate as its training said; no more images can change sides than predictions differ."""
    path = ROOT / "results" / INTEGER_SEEDS
    found = read_both(path)
    assert found.keys() == {Row("resnet10", bit, scheme) for bit in (2, 3, 4, 5) for scheme in ("apot", "uniform")}
    for networks in found.values():
        assert len(networks) == 5
        for checkpoint, both in networks.items():
            job = PurePath(checkpoint).parts[-3]
            trained = json.loads((ROOT / f"results/fast/{job}.json").read_text())
            assert both.floats == pytest.approx(trained["test_accuracy"], abs=2e-6)
            assert abs(both.integers - both.floats) * both.images <= both.differing + 1e-6
    with path.open(newline="") as file:
        assert not [line["checkpoint"] for line in csv.DictReader(file) if line["commit"].endswith("dirty")]
