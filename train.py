"""Trains a quantised network, or with ``sweep=tables`` many: ``python train.py model=resnet18 quant.bit=3``."""

from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.config.instantiate import build_all
from apot_lit.runs.log import recording


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@cli.job
def main(config: dict[str, Any]) -> float | None:
    """Trains and returns the validation accuracy, which a Hydra sweeper may optimise."""
    if config["sweep"] is not None and config["sweep"]["job"] is None:
        from apot_lit.sweep.schedule import run_sweep

        with recording(Path(config["paths"]["output_dir"]) / "sweep.log", config):
            run_sweep(config, cli.task_overrides())
        return None
    from apot_lit.training.fit import train  # late: Lightning takes seconds to import
    from apot_lit.training.loggers import build_loggers
    from apot_lit.training.resume import resumed

    if config["ckpt_path"] is not None:
        config = resumed(config, cli.default_config(), cli.task_overrides())
    result = train(config, build_all(config["callbacks"], "callbacks"), build_loggers(config["logger"]))
    accuracy: float | None = result.get("val_accuracy")
    return accuracy


if __name__ == "__main__":
    cli.run(main)
