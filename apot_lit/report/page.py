"""One page with all tables and pictures, which needs nothing else."""

import base64
import io
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import pyplot
from matplotlib.figure import Figure

from apot_lit.report.answer import answer_sentences, answering
from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.data_sets import title_of
from apot_lit.report.interactive import (
    accuracy_picture,
    as_html,
    difference_picture,
    learning_curves,
    script,
    threshold_picture,
)
from apot_lit.report.plots import feature, name_of
from apot_lit.report.tables import COMPARISON_NOTE, Diverged, Published, Table, build_summary, build_tables
from apot_lit.runs.protocol import SCHEME_NAMES
from apot_lit.runs.provenance import commit
from apot_lit.runs.result import RESULT_FILE

_RUN_HEADERS = ["Recipe", "Model", "Bits", "Levels", "Seed", "Validation, %", "Test, %", "Epochs", "Machine", "Commit"]


def build_page(
    collection: Collection,
    published: Published,
    pictures: Sequence[tuple[str, str, Figure]],
    results_dir: Path,
    output_dir: Path,
) -> str:
    """Builds the HTML; pictures and scripts are part of it, and nothing is loaded from elsewhere.

    Args:
        collection: the results.
        published: see `build_tables`.
        pictures: name, caption and figure of each; the figures are closed.
        results_dir: directory of the results.
        output_dir: directory of the page, from which it links to the results.
    """
    environment = Environment(
        loader=PackageLoader("apot_lit.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    answer, featured = answering(collection), feature(collection)
    runs = [(group, run) for group in collection.groups for members in group.runs.values() for run in members]
    return environment.get_template("report.html.j2").render(
        script=script(),
        data=title_of(answer.data),
        date=f"{datetime.now():%Y-%m-%d %H:%M}",
        commit=(commit() or "unknown")[:12],
        machines=sorted({run.machine for _, run in runs if run.machine is not None}),
        sentences=answer_sentences(answer),
        answer=list(_drawn(_answer_pictures(answer))),
        note=COMPARISON_NOTE,
        groups=[_section(group, published, collection.diverged) for group in collection.groups],
        details=list(_drawn(_detail_pictures(featured))),
        pictures=[{"caption": caption, "data": _png(figure)} for _, caption, figure in pictures],
        run_headers=_RUN_HEADERS,
        runs=[_run_line(group, run, results_dir, output_dir) for group, run in runs],
        left_out=collection.left_out,
    )


def _answer_pictures(group: Group) -> Iterator[tuple[str, Any]]:
    caption = f"Test accuracy by the recipe {group.name}: a dot for each seed, the mean with its 95 % interval"
    yield caption, accuracy_picture(group)
    yield (
        "APoT minus uniform: a dot for each pair of runs that share their seed, the mean with its 95 % interval",
        (difference_picture(group)),
    )


def _detail_pictures(run: Run) -> Iterator[tuple[str, Any]]:
    yield f"Learning curves: {name_of(run)}", learning_curves(run)
    yield f"Clipping thresholds: {name_of(run)}", threshold_picture(run)


def _drawn(pictures: Iterator[tuple[str, Any]]) -> Iterator[dict[str, str]]:
    for caption, figure in pictures:
        if figure is not None:
            yield {"caption": caption, "html": as_html(figure)}


def _section(group: Group, published: Published, diverged: Diverged) -> dict[str, Any]:
    tables: list[Table] = [*filter(None, [build_summary(group)]), *build_tables(group, published, diverged)]
    return {"name": group.name, "protocol": group.protocol, "tables": tables}


def _run_line(group: Group, run: Run, results_dir: Path, output_dir: Path) -> dict[str, Any]:
    """A run as cells, and a link to its directory, or to its result where that lies among others."""
    file = results_dir / run.path
    bits, levels = str(run.row.bit), SCHEME_NAMES[run.row.scheme]
    cells = [group.name, run.row.model, bits, levels, str(run.seed), _percent(run.val_accuracy)]
    cells += [_percent(run.test_accuracy), str(run.result["epochs"]), run.machine or "-"]
    return {
        "link": Path(os.path.relpath(file.parent if file.name == RESULT_FILE else file, output_dir)).as_posix(),
        "cells": [*cells, (run.result.get("commit") or "-")[:8]],
    }


def _percent(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{100 * accuracy:.2f}"


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    pyplot.close(figure)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
