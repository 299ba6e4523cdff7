"""Tables in the shape of the published ones."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from apot_lit.protocol import Row
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.statistics import compare, spread

MODELS = ("resnet10", "resnet18", "resnet34", "resnet50")
BITS = (5, 4, 3, 2)
COMPARISON_NOTE = (
    "Accuracies are those of the 10,000 test images, mean ± standard deviation over seeds. The comparison is that of "
    "APoT minus uniform in points, paired over the seeds that both have, with its 95 % interval (Student's t); with "
    "one seed there is none."
)
_SCHEMES = {"apot": "APoT", "uniform": "uniform", "pot": "PoT", "float": "float32"}
_HEADERS = ["Model", "Precision", "Hyper-Params", "Accuracy", "Seeds", "Training accuracy", "Published (training)"]


@dataclass(frozen=True)
class Table:
    """A table of one protocol and scheme.

    Attributes:
        title: for a heading.
        headers: names of the columns.
        rows: cells as text.
    """

    title: str
    headers: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """The table in GitHub's Markdown."""
        return tabulate(self.rows, headers=self.headers, tablefmt="github", disable_numparse=True)


Published = Mapping[tuple[str, int, str], str]


def read_published(path: Path) -> dict[tuple[str, int, str], str]:
    """Reads the published accuracies, in percent, by network, bit width and scheme."""
    with path.open(newline="") as file:
        return {
            (line["model"], int(line["bit"]), line["scheme"]): line["published_percent"]
            for line in csv.DictReader(file)
            if line["published_percent"]
        }


def build_tables(group: Group, published: Published) -> list[Table]:
    """Builds the tables of a protocol: full precision, APoT, uniform compared with APoT, and plain powers of two.

    The largest group of the recipes ``reference`` and ``best`` gets every row of the published tables, those not
    run yet say so; other groups have the rows they have.
    """
    complete = group.main and group.recipe in ("reference", "best")
    wanted = [Row(model, bit, scheme) for model in MODELS for scheme in ("apot", "uniform") for bit in BITS]
    if complete:
        wanted += [Row(model, FULL_PRECISION, "float") for model in MODELS]
    rows = sorted({*group.runs, *(wanted if complete else [])}, key=lambda row: (_model_order(row.model), -row.bit))
    tables = []
    for scheme, name in _SCHEMES.items():
        lines = [_line(group, row, published) for row in rows if row.scheme == scheme]
        if scheme == "uniform":
            for line, row in zip(lines, [row for row in rows if row.scheme == scheme], strict=True):
                line.append(_compared(group, row))
        if lines:
            headers = [*_HEADERS, "Compared with APoT"] if scheme == "uniform" else _HEADERS
            tables.append(Table(f"{group.name}: {name}", headers, lines))
    return tables


def markdown(collection: Collection, published: Published) -> str:
    """All tables as Markdown, without an empty line at either end."""
    parts = [COMPARISON_NOTE]
    for group in collection.groups:
        for table in build_tables(group, published):
            parts += [f"**{table.title}**", table.markdown()]
    if collection.left_out:
        parts.append("Left out: " + "; ".join(f"`{path}` ({reason})" for path, reason in collection.left_out) + ".")
    return "\n\n".join(parts)


def write_csv(collection: Collection, path: Path) -> None:
    """Writes one line per run."""
    columns = ["recipe", "protocol", "model", "bit", "scheme", "seed", "epochs", "best_epoch"]
    columns += ["train_accuracy", "val_accuracy", "test_accuracy", "wall_seconds", "cpu", "device", "commit", "file"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for group in collection.groups:
            options = " ".join(f"{key}={value}" for key, value in group.protocol)
            for row, runs in group.runs.items():
                for run in runs:
                    facts: dict[str, Any] = {**run.result, **run.result.get("hardware", {}), **row._asdict()}
                    writer.writerow(
                        facts | {"recipe": group.recipe, "protocol": options, "seed": run.seed, "file": str(run.path)}
                    )


def percent_spread(values: list[float]) -> str:
    """Mean and deviation of accuracies from 0 to 1, in percent."""
    result = spread([100 * value for value in values])
    return f"{result.mean:.2f}" if result.std is None else f"{result.mean:.2f} ± {result.std:.2f}"


def _line(group: Group, row: Row, published: Published) -> list[str]:
    runs = group.runs.get(row, [])
    bits = "32 bit" if row.bit == FULL_PRECISION else f"{row.bit} bit"
    printed = published.get((row.model, row.bit, row.scheme), "-")
    if not runs:
        return [row.model, bits, "-", "not run yet", "0", "-", printed]
    return [
        row.model,
        bits,
        _hyper_parameters(runs[0]),
        percent_spread([run.test_accuracy for run in runs]),
        str(len(runs)),
        percent_spread([run.train_accuracy for run in runs]),
        printed,
    ]


def _compared(group: Group, row: Row) -> str:
    uniform, apot = (
        {run.seed: 100 * run.test_accuracy for run in group.runs.get(row._replace(scheme=scheme), [])}
        for scheme in ("uniform", "apot")
    )
    comparison = compare(apot, uniform)
    if comparison is None:
        return "-"
    if comparison.half_width is None:
        return f"{comparison.difference:+.2f} (1 seed)"
    verdict = "more than noise" if comparison.more_than_noise else "within noise"
    return f"{comparison.difference:+.2f} ± {comparison.half_width:.2f}, {verdict}"


def _hyper_parameters(run: Run) -> str:
    config = run.result["config"]
    optimizer = config["optimizer"]
    batch = f"batch{config['data']['batch_size']}_lr{optimizer['lr']:g}_wd{optimizer['weight_decay']:g}"
    return f"{batch}_{run.result['epochs']}epoch"


def _model_order(model: str) -> tuple[int, str]:
    return (MODELS.index(model) if model in MODELS else len(MODELS), model)
