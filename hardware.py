"""Writes arithmetic units in Verilog, proves and prices them: ``python hardware.py`` (or hardware=full)."""

from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.runs.log import recording


@hydra.main(version_base="1.3", config_path="conf", config_name="hardware")
@cli.job
def main(config: dict[str, Any]) -> None:
    """Writes, simulates and synthesises."""
    from apot_lit.hardware.produce import produce  # late: torch takes seconds to import

    with recording(Path(config["paths"]["output_dir"]) / "hardware.log", config):
        produce(config)


if __name__ == "__main__":
    cli.run(main)
