"""Exports a checkpoint as real integers: ``python export.py ckpt_path=... format=onnx`` (or packed, header, verify)."""

from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.runs.log import recording


@hydra.main(version_base="1.3", config_path="conf", config_name="export")
@cli.job
def main(config: dict[str, Any]) -> None:
    """Exports and verifies."""
    from apot_lit.export.write import export  # late: torch takes seconds to import

    with recording(Path(config["paths"]["output_dir"]) / "export.log", config):
        export(config)


if __name__ == "__main__":
    cli.run(main)
