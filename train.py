"""Trains a quantised network: ``python train.py model=resnet18 quant.bit=3 quant.power=0``."""

from typing import Any

import hydra

from apot_lit import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@cli.job
def main(config: dict[str, Any]) -> float | None:
    """Trains and returns the validation accuracy, which a Hydra sweeper may optimise."""
    from apot_lit.engine import train  # late: Lightning takes seconds to import

    accuracy: float | None = train(config).get("val_accuracy")
    return accuracy


if __name__ == "__main__":
    cli.run(main)
