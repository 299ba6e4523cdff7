"""Measures what quantised training costs: ``python benchmark.py``, or ``benchmark=full`` for every bit width."""

from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.runs.log import recording


@hydra.main(version_base="1.3", config_path="conf", config_name="benchmark")
@cli.job
def main(config: dict[str, Any]) -> None:
    """Measures, prints a table and writes ``benchmark.json``."""
    from apot_lit.benchmark.measure import benchmark  # late: Lightning takes seconds to import

    with recording(Path(config["paths"]["output_dir"]) / "benchmark.log", config):
        benchmark(config)


if __name__ == "__main__":
    cli.run(main)
