"""One page with all tables and pictures, which needs nothing else."""

import base64
import io
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import pyplot
from matplotlib.figure import Figure

from apot_lit.report.collect import Collection
from apot_lit.report.tables import COMPARISON_NOTE, Published, build_summary, build_tables


def build_page(collection: Collection, published: Published, pictures: Sequence[tuple[str, str, Figure]]) -> str:
    """Builds the HTML; pictures are part of it, and nothing is loaded from elsewhere.

    Args:
        collection: the results.
        published: see `build_tables`.
        pictures: name, caption and figure of each; the figures are closed.
    """
    environment = Environment(
        loader=PackageLoader("apot_lit.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    runs = [run for group in collection.groups for members in group.runs.values() for run in members]
    facts = [run.result["hardware"] for run in runs if run.result.get("hardware")]
    machines = {f"{fact['cpu']}, {fact['threads']} threads, {fact['device']}" for fact in facts}
    return environment.get_template("report.html.j2").render(
        note=COMPARISON_NOTE,
        groups=[
            {
                "name": group.name,
                "protocol": group.protocol,
                "tables": [*filter(None, [build_summary(group)]), *build_tables(group, published)],
            }
            for group in collection.groups
        ],
        pictures=[{"caption": caption, "data": _png(figure)} for _, caption, figure in pictures],
        left_out=collection.left_out,
        runs=len(runs),
        hardware="; ".join(sorted(machines)),
    )


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    pyplot.close(figure)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
