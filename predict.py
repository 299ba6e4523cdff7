"""Predicts the class of pictures: ``python predict.py ckpt_path=... images=photo.jpg`` (or a folder, .npy, IDX)."""

from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.runs.log import recording


@hydra.main(version_base="1.3", config_path="conf", config_name="predict")
@cli.job
def main(config: dict[str, Any]) -> None:
    """Predicts, and draws what the network saw."""
    from apot_lit.predict.predict import predict  # late: torch takes seconds to import

    with recording(Path(config["paths"]["output_dir"]) / "predict.log", config):
        predict(config)


if __name__ == "__main__":
    cli.run(main)
