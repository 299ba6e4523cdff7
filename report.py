"""Makes tables, pictures and one page from result files: ``python report.py results_dir=outputs``."""

from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.runs.log import recording


@hydra.main(version_base="1.3", config_path="conf", config_name="report")
@cli.job
def main(config: dict[str, Any]) -> None:
    """Collects the results and writes the report."""
    from apot_lit.report.compose import report  # late: matplotlib takes seconds to import

    with recording(Path(config["paths"]["output_dir"]) / "report.log", config):
        report(config)


if __name__ == "__main__":
    cli.run(main)
