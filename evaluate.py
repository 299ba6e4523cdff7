"""Evaluates a checkpoint: ``python evaluate.py ckpt_path=outputs/train/<run>/checkpoints/best.ckpt``."""

from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.runs.log import recording


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
@cli.job
def main(config: dict[str, Any]) -> float | None:
    """Evaluates and returns the accuracy."""
    from apot_lit.evaluation.evaluate import evaluate  # late: Lightning takes seconds to import
    from apot_lit.runtime.exported import open_exported

    with recording(Path(config["paths"]["output_dir"]) / "evaluate.log", config):
        accuracy: float | None = evaluate(config, open_exported).get("accuracy")
    return accuracy


if __name__ == "__main__":
    cli.run(main)
