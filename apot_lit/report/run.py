"""report.py: collects results and writes tables, pictures and the page."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apot_lit.benchmark.report import inference_report, markdown_table
from apot_lit.errors import UserError
from apot_lit.report.collect import collect
from apot_lit.report.page import build_page
from apot_lit.report.plots import all_pictures, feature
from apot_lit.report.readme import filled
from apot_lit.report.runs_csv import write_csv
from apot_lit.report.tables import markdown, read_published


def report(config: Mapping[str, Any]) -> None:
    """Writes ``tables.md``, ``results.csv``, pictures and ``report.html`` to the output directory.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.ReportConfig`.

    Raises:
        UserError: for a directory without results, or a README without the markers; nothing is written then.
    """
    results_dir = Path(config["results_dir"])
    collection = collect(results_dir)
    published_path = Path(config["published"])
    if not published_path.exists():
        raise UserError(f"published={published_path}: there is no such file")
    published = read_published(published_path)
    text = markdown(collection, published)
    readme = None if config["readme"] is None else Path(config["readme"])
    updated = None if readme is None else filled(readme, {"results": text}, benchmark_tables(results_dir))

    output_dir = Path(config["paths"]["output_dir"])
    pictures = all_pictures(collection, feature(collection), Path(config["data_dir"]))
    written = []
    for name, _, figure in pictures:
        written.append(output_dir / f"{name}.png")
        figure.savefig(written[-1], dpi=150)
    for name, content in (("tables.md", text + "\n"), ("report.html", build_page(collection, published, pictures))):
        written.append(output_dir / name)
        written[-1].write_text(content)
    written.append(output_dir / "results.csv")
    write_csv(collection, written[-1])
    if readme is not None and updated is not None:
        readme.write_text(updated)
        written.append(readme)
    for path, reason in collection.left_out:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    for group in collection.groups:
        if not group.main:
            print(f"kept apart, another protocol: {group.name}", file=sys.stderr)
    print("written:", *written, sep="\n  ")


def benchmark_tables(results_dir: Path) -> dict[str, str]:
    """Tables of the benchmarks that a directory holds as ``benchmark_*.json`` and ``inference_*.json``, by name.

    Raises:
        UserError: if one of these files holds something else.
    """
    tables = {}
    for name, table in (("benchmark", markdown_table), ("inference", _inference_tables)):
        paths = sorted(results_dir.glob(f"{name}_*.json"))
        try:
            if paths:
                tables[name] = table([json.loads(path.read_text()) for path in paths])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{', '.join(map(str, paths))}: must be files that benchmark.py wrote") from error
    return tables


def _inference_tables(results: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(inference_report(result, "github") for result in results)
