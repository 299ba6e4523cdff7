"""Trains a quantised network: ``python train.py model=resnet18 quant.bit=3``; with ``-m`` or ``sweep=tables`` many."""

from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.config.instantiate import build_all
from apot_lit.runs.lock import Taken
from apot_lit.runs.text import percent


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@cli.job
def main(config: dict[str, Any]) -> float | None:
    """Trains and returns the validation accuracy, which a Hydra sweeper may optimise."""
    directory = Path(config["paths"]["output_dir"])
    if cli.in_multirun() and config["ckpt_path"] is None:
        from apot_lit.sweep.job import finished, half_done  # late: torch takes seconds to import

        result = finished(config)
        if result is not None:
            print(f"{directory.name}: done already, {percent(result.get('test_accuracy'))} test", flush=True)
            return result.get("val_accuracy")
        config["ckpt_path"] = half_done(config)
    from apot_lit.training.fit import train  # late: so does Lightning
    from apot_lit.training.loggers import build_loggers
    from apot_lit.training.resume import resumed

    if config["ckpt_path"] is not None:
        config = resumed(config, cli.default_config(), cli.task_overrides())
    try:
        result = train(config, build_all(config["callbacks"], "callbacks"), build_loggers(config["logger"]))
    except Taken:
        if not cli.in_multirun():
            raise
        print(f"{directory.name}: another process trains it", flush=True)
        return None
    return result.get("val_accuracy")


if __name__ == "__main__":
    cli.run(main)
