"""Prices against units whose cells can be counted by hand, and proofs that find a difference."""

import dataclasses

import pytest

from apot_lit.hardware import yosys
from apot_lit.hardware.candidates import Pair, candidates, pairs_of
from apot_lit.hardware.equivalence import prove_equal
from apot_lit.hardware.expressions import Expression, Wire, signal
from apot_lit.hardware.prices import measure_prices
from apot_lit.hardware.technologies import TARGETS, price_all
from apot_lit.hardware.verilog import Register, Unit
from tests.hardware.conftest import PRODUCTS, needs_yosys


def gate(name, text, inputs="ab"):
    ports = [signal(port, 1) for port in inputs]
    return Unit(name, "A gate.", ports, [Wire("y", Expression(1, False, text, None))], outputs=("y",))


def register(name, width):
    value = signal("a", width)
    return Unit(name, "A register.", [value], [], registers=(Register("q", value),))


@needs_yosys
def test_prices_of_single_gates():
    """Transistors of static CMOS: 2 an inverter, 4 a NAND, 6 an AND-OR-inverter, 12 an exclusive or, 16 a flip-flop."""
    units = [
        gate("nand2", "~(a & b)"),
        gate("xor2", "a ^ b"),
        gate("aoi", "~((a & b) | c)", "abc"),
        gate("inv", "~a", "a"),
    ]
    prices = price_all(TARGETS["gates"], [*units, register("bits8", 8)])
    assert {name: price.area for name, price in prices.items() if name != "bits8"} == {
        **{"nand2": 4, "xor2": 12, "aoi": 6, "inv": 2},
    }
    assert {name: price.delay for name, price in prices.items() if name != "bits8"} == dict.fromkeys(
        ("nand2", "xor2", "aoi", "inv"), 1
    )
    # A clear is an inverter and a NOR, or an AND, before each flip-flop.
    assert prices["bits8"].registers == 8
    assert 8 * (16 + 4) <= prices["bits8"].area <= 8 * (16 + 6)


@needs_yosys
@pytest.mark.slow
def test_prices_of_single_lookup_tables():
    for target, inputs in (("xilinx7", "abcdef"), ("ice40", "abcd")):  # as many as a table has there
        one = gate("one", f"^{{{', '.join(inputs)}}}", inputs)
        more = gate("more", f"^{{{', '.join(inputs)}, g}}", f"{inputs}g")
        prices = price_all(TARGETS[target], [gate("nand2", "~(a & b)"), one, more, register("bits8", 8)])
        assert (prices["nand2"].area, prices["one"].area) == (1, 1)
        assert prices["more"].area == 2
        assert (prices["bits8"].registers, prices["bits8"].area) == (8, 0)
        # A late input can take the fast pin of its table, so that a second table costs no time.
        assert 0 < prices["nand2"].delay <= prices["one"].delay <= prices["more"].delay


@needs_yosys
@pytest.mark.slow
def test_a_unit_costs_the_same_alone_and_among_others():
    found = [one.unit for one in candidates(Pair("apot", "apot", 3, 3), "mac", PRODUCTS, 8)][:4]
    together = price_all(TARGETS["xilinx7"], found)
    assert price_all(TARGETS["xilinx7"], found[2:3])[found[2].name] == together[found[2].name]


@needs_yosys
@pytest.mark.slow
def test_multiplications_go_to_dsps_where_there_are_some():
    pairs = pairs_of(["uniform", "apot"], [5], None)
    found = [entry for part in measure_prices(pairs, ["mac"], ["xilinx7_dsp"], PRODUCTS, 8) for entry in part]
    assert {entry["way"] for entry in found} == {"multiply_twos_code", "multiply_code_code"}
    two = [entry for entry in found if entry["way"] == "multiply_twos_code"]
    assert [entry["dsps"] for entry in two] == [1, 1]
    assert {"target", "unit", "area", "delay", "cells", "sum_width", "weight_scheme"} <= two[0].keys()


@needs_yosys
@pytest.mark.parametrize("pair", [("apot", "apot", 4, 4), ("uniform", "uniform", 4, 4), ("pot", "apot", 3, 3)])
def test_all_ways_are_one_function(pair):
    prove_equal(list(candidates(Pair(*pair), "multiplier", PRODUCTS, 8)))


@needs_yosys
def test_a_way_that_differs_for_one_pair_of_operands_is_found():
    found = list(candidates(Pair("apot", "apot", 3, 3), "multiplier", PRODUCTS, 8))
    unit = found[-1].unit
    last = unit.wires[-1]
    text = f"(weight == 3'd5 && activation == 3'd6) ? 7'sd0 : {last.value.text}"
    wrong = dataclasses.replace(last, value=dataclasses.replace(last.value, text=text))
    unit = dataclasses.replace(unit, wires=[*unit.wires[:-1], wrong])
    with pytest.raises(RuntimeError, match="Yosys"):
        prove_equal([*found[:-1], dataclasses.replace(found[-1], unit=unit)])


@needs_yosys
def test_what_yosys_says_is_one_line():
    with pytest.raises(RuntimeError, match=r"^Yosys: .*nowhere\.v") as caught:
        yosys.run_yosys(["read_verilog nowhere.v"], {})
    assert "\n" not in str(caught.value)
