"""The Verilog itself: simulated against codes, linted, and found out where it is wrong."""

import dataclasses
import shutil
import subprocess

import pytest

from apot_lit.hardware import simulators
from apot_lit.hardware.candidates import KINDS, Pair, candidates
from apot_lit.hardware.products import Way
from apot_lit.hardware.testbench import Trial, run_trials
from apot_lit.hardware.trials import trial_of
from apot_lit.hardware.units import multiply_accumulate
from apot_lit.hardware.verilog import modules
from apot_lit.quant.levels import level_set
from tests.hardware.conftest import PRODUCTS, SCHEMES, needs_simulator

MIXED = [("apot", "uniform", 4, 3), ("pot", "apot", 3, 2), ("uniform", "pot", 3, 3)]
ALIKE = [(scheme, scheme, bit, bit) for scheme in SCHEMES for bit in (2, 3)] + [("apot", "apot", 4, 4)]


def trials(pair, kinds=KINDS):
    return [trial_of(one, PRODUCTS) for kind in kinds for one in candidates(pair, kind, PRODUCTS, 8)]


@needs_simulator
@pytest.mark.parametrize("pair", [*ALIKE, *MIXED])
def test_every_unit_gives_what_the_codes_give(tmp_path, pair):
    pair = Pair(*pair)
    compared = run_trials(trials(pair), tmp_path)
    assert [one for one in compared if one.different] == []
    operands = len(pair.weights.codes) * 2 - 1, len(pair.activations.codes)
    assert all(one.compared >= operands[0] * operands[1] for one in compared if "mac" in one.unit)


@pytest.mark.slow
@needs_simulator
@pytest.mark.parametrize("bit", [5, 6, 7, 8])
@pytest.mark.parametrize("scheme", ["apot", "uniform"])
def test_every_multiplier_of_many_bits(tmp_path, scheme, bit):
    pair = Pair(scheme, scheme, bit, bit)
    for one in candidates(pair, "multiplier", PRODUCTS, 8):
        (compared,) = run_trials([trial_of(one, PRODUCTS)], tmp_path)
        assert (compared.compared, compared.different) == ((2**bit - 1) * 2**bit, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iverilog", "verilator"])
def test_both_simulators_agree(tmp_path, monkeypatch, name):
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}")
    monkeypatch.setattr(simulators, "simulator", lambda: name)
    compared = run_trials(trials(Pair("apot", "apot", 3, 3), ("mac", "threshold")), tmp_path)
    assert sum(one.compared for one in compared) > 100
    assert not any(one.different for one in compared)


@needs_simulator
def test_a_wrong_unit_is_found_out(tmp_path):
    (right, *_) = trials(Pair("apot", "apot", 3, 3), ("mac",))
    wrong = dict(right.rows)
    wrong["sum"] = [value + (place == 7) for place, value in enumerate(wrong["sum"])]
    (compared,) = run_trials([Trial(right.unit, wrong)], tmp_path)
    assert compared.different == 1
    wire = right.unit.wires[0]
    off = dataclasses.replace(wire, value=dataclasses.replace(wire.value, text=f"{wire.value.text} + 1"))
    unit = dataclasses.replace(right.unit, wires=[off, *right.unit.wires[1:]])
    (compared,) = run_trials([Trial(unit, right.rows)], tmp_path)
    assert compared.different > compared.compared / 2


@needs_simulator
def test_verilog_that_no_simulator_takes_is_one_line(tmp_path):
    (tmp_path / "wrong.v").write_text("module wrong; nonsense endmodule")
    with pytest.raises(RuntimeError, match=r"^(iverilog|verilator): .*") as caught:
        simulators.simulate([tmp_path / "wrong.v"], "wrong", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_verilator_has_nothing_to_say_of_widths_but_of_sums(tmp_path):
    if shutil.which("verilator") is None:
        pytest.skip("needs verilator")
    found = [one.unit for kind in KINDS for one in candidates(Pair("apot", "apot", 4, 4), kind, PRODUCTS, 8)]
    (tmp_path / "units.v").write_text(modules(found))
    quiet = [f"-Wno-{kind}" for kind in ("DECLFILENAME", "MULTITOP", "WIDTH", "UNUSED", "CASEINCOMPLETE")]
    command = ["verilator", "--lint-only", "-Wall", *quiet, "units.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_multiply_accumulate_looks_like():
    """Weights are a sign and a shift: 0, 1, 2 or 4 times the activation's code."""
    unit = multiply_accumulate(level_set("apot", 2), level_set("apot", 3), Way("shift", "fields", "code"), 100)
    assert (
        unit.verilog()
        == """\
// Multiply-accumulate, up to 100 products: weights APoT 3 bits, activations APoT 3 bits, by shifts by each term of \
the weight and additions; weight as sign and shift fields, activation as code.
module mac_apot3_apot3_shift_fields_code (
    input  wire clock,
    input  wire clear,
    input  wire [2:0] weight,
    input  wire [3:0] activation,
    output reg  signed [12:0] sum
);
    // part0: term 0 of weight
    reg [5:0] part0;
    always @*
        case (weight[1:0])
            2'd0: part0 = 6'd0;
            2'd1: part0 = activation;
            2'd2: part0 = {activation, 1'd0};
            default: part0 = {activation, 2'd0};
        endcase
    // magnitude: of the product
    wire [5:0] magnitude = part0;
    always @(posedge clock)
        if (clear) sum <= 13'd0;
        else sum <= sum + $signed({1'b0, magnitude} ^ {7{weight[2]}}) + $signed({1'b0, weight[2]});
endmodule
"""
    )
