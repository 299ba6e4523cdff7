"""Exports a checkpoint as real integers: ``python export.py ckpt_path=... format=onnx`` (or packed, header, verify)."""

from typing import Any

import hydra

from apot_lit import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="export")
@cli.job
def main(config: dict[str, Any]) -> None:
    """Exports and verifies."""
    from apot_lit.export.write import export  # late: torch takes seconds to import

    export(config)


if __name__ == "__main__":
    cli.run(main)
