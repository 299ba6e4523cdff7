"""report.py: collects results and writes tables, pictures and the page."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apot_lit.errors import UserError
from apot_lit.report.collect import collect
from apot_lit.report.page import build_page
from apot_lit.report.plots import all_pictures, feature
from apot_lit.report.tables import BEGIN, END, markdown, read_published, write_csv


def report(config: Mapping[str, Any]) -> None:
    """Writes ``tables.md``, ``results.csv``, pictures and ``report.html`` to the output directory.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.ReportConfig`.

    Raises:
        UserError: for a directory without results, or a README without the markers; nothing is written then.
    """
    collection = collect(Path(config["results_dir"]))
    published_path = Path(config["published"])
    if not published_path.exists():
        raise UserError(f"published={published_path}: there is no such file")
    published = read_published(published_path)
    text = markdown(collection, published)
    readme = None if config["readme"] is None else Path(config["readme"])
    updated = None if readme is None else with_tables(readme, text)

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


def with_tables(readme: Path, text: str) -> str:
    """The content of a README with `text` between its markers.

    Raises:
        UserError: if there is no such file, or it does not have each marker once.
    """
    if not readme.is_file():
        raise UserError(f"readme={readme}: there is no such file")
    content = readme.read_text()
    if content.count(BEGIN) != 1 or content.count(END) != 1:
        raise UserError(f"readme={readme}: must have the lines {BEGIN} and {END} once each")
    before, _, rest = content.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
