"""Tables in the shape of the published ones."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from apot_lit.data.options import DataOptions
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.pairs import apot_and_uniform, apot_minus_uniform, described, machines
from apot_lit.report.statistics import spread
from apot_lit.runs.protocol import SCHEME_NAMES, Row

MODELS = ("resnet10", "resnet18", "resnet34", "resnet50")
BITS = (5, 4, 3, 2)
COMPARISON_NOTE = (
    "Accuracies are those of the 10,000 test images, mean ± standard deviation over seeds. The comparison is that of "
    "APoT minus uniform in points, paired over the seeds that both have (in a summary over networks and seeds), with "
    "the wider of two 95 % intervals: that of the pairs (Student's t) and that of the test images, from those on which "
    "the two differ. One pair has only the latter, and no verdict. Nothing is corrected for the number of comparisons. "
    "Machines are counted where they differ in CPU, threads or device."
)
_HEADERS = ["Model", "Precision", "Hyper-Params", "Accuracy", "Seeds", "Training accuracy"]
_PUBLISHED = "Published (training)"


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
Diverged = Mapping[tuple[str, Row], str]


def read_published(path: Path) -> dict[tuple[str, int, str], str]:
    """Reads the published accuracies, in percent, by network, bit width and scheme."""
    with path.open(newline="") as file:
        return {
            (line["model"], int(line["bit"]), line["scheme"]): line["published_percent"]
            for line in csv.DictReader(file)
            if line["published_percent"]
        }


def build_tables(group: Group, published: Published, diverged: Diverged) -> list[Table]:
    """Builds the tables of a protocol: full precision, APoT, uniform compared with APoT, and plain powers of two.

    The largest group on MNIST of the recipes ``reference`` and ``best`` gets every row of the published tables, those
    not run yet or without an end say so, and the published accuracies beside them; other groups have the rows they
    have.
    """
    complete = group.main and group.recipe in ("reference", "best") and group.data == DataOptions.name
    if not complete or any(key.startswith("model.") for key, _ in group.protocol):
        published = {}
    wanted = [Row(model, bit, scheme) for model in MODELS for scheme in ("apot", "uniform") for bit in BITS]
    if complete:
        wanted += [Row(model, FULL_PRECISION, "float") for model in MODELS]
    rows = sorted({*group.runs, *(wanted if complete else [])}, key=lambda row: (_model_order(row.model), -row.bit))
    tables = []
    for scheme, name in SCHEME_NAMES.items():
        shown = [row for row in rows if row.scheme == scheme]
        lines = [_line(group, row, diverged.get((group.recipe, row), "not run yet")) for row in shown]
        headers = list(_HEADERS)
        printed = [published.get((row.model, row.bit, row.scheme), "-") for row in shown]
        if set(printed) - {"-"}:
            headers.append(_PUBLISHED)
            lines = [[*line, cell] for line, cell in zip(lines, printed, strict=True)]
        if scheme == "uniform":
            headers.append("Compared with APoT")
            lines = [
                [*line, _compared(group, [row.model], row.bit, "seed")] for line, row in zip(lines, shown, strict=True)
            ]
        if lines:
            tables.append(Table(f"{group.name}: {name}", headers, lines))
    return tables


def build_summary(group: Group) -> Table | None:
    """Builds the table that shows a protocol at a glance: networks by bit widths, each cell APoT / uniform.

    The last line is the mean of APoT minus uniform over all networks and seeds that have both.

    Returns:
        The table, None without both schemes.
    """
    shown = [row for row in group.runs if row.scheme in ("apot", "uniform")]
    if len({row.scheme for row in shown}) < 2:
        return None
    bits = sorted({row.bit for row in shown}, reverse=True)
    models = sorted({row.model for row in shown}, key=_model_order)
    rows = [
        [model, *(" / ".join(_mean(group, Row(model, bit, scheme)) for scheme in ("apot", "uniform")) for bit in bits)]
        for model in models
    ]
    rows.append(["APoT minus uniform", *(_compared(group, models, bit, "pair") for bit in bits)])
    return Table(f"{group.name}: APoT / uniform", ["Model", *(f"{bit} bit" for bit in bits)], rows)


def markdown(collection: Collection, published: Published) -> str:
    """All tables as Markdown, summaries first, without an empty line at either end."""
    summaries = [table for group in collection.groups if (table := build_summary(group)) is not None]
    details = [table for group in collection.groups for table in build_tables(group, published, collection.diverged)]
    parts = [COMPARISON_NOTE, *_titled(summaries)]
    parts += ["<details>\n<summary>Every row</summary>", *_titled(details), "</details>"]
    if collection.left_out:
        parts.append("Left out: " + "; ".join(f"`{path}` ({reason})" for path, reason in collection.left_out) + ".")
    return "\n\n".join(parts)


def percent_spread(values: list[float]) -> str:
    """Mean and deviation of accuracies from 0 to 1, in percent."""
    result = spread([100 * value for value in values])
    return f"{result.mean:.2f}" if result.std is None else f"{result.mean:.2f} ± {result.std:.2f}"


def _line(group: Group, row: Row, without: str) -> list[str]:
    runs = group.runs.get(row, [])
    bits = "32 bit" if row.bit == FULL_PRECISION else f"{row.bit} bit"
    if not runs:
        return [row.model, bits, "-", without, "0", "-"]
    return [
        row.model,
        bits,
        _hyper_parameters(runs[0]),
        percent_spread([run.test_accuracy for run in runs]),
        str(len(runs)) if machines(runs) < 2 else f"{len(runs)}, on {machines(runs)} machines",
        percent_spread([run.train_accuracy for run in runs]),
    ]


def _compared(group: Group, models: Sequence[str], bit: int, unit: str) -> str:
    """APoT minus uniform at a bit width, over the pairs of network and seed that both schemes have."""
    pairs = apot_and_uniform(group, models, bit).values()
    return described(apot_minus_uniform(group, models, bit), pairs, unit)


def _mean(group: Group, row: Row) -> str:
    runs = group.runs.get(row)
    return percent_spread([run.test_accuracy for run in runs]) if runs else "-"


def _titled(tables: Iterable[Table]) -> Iterator[str]:
    for table in tables:
        yield f"**{table.title}**"
        yield table.markdown()


def _hyper_parameters(run: Run) -> str:
    config = run.result["config"]
    optimizer = config["optimizer"]
    batch = f"batch{config['data']['batch_size']}_lr{optimizer['lr']:g}_wd{optimizer['weight_decay']:g}"
    return f"{batch}_{run.result['epochs']}epoch"


def _model_order(model: str) -> tuple[int, str]:
    return (MODELS.index(model) if model in MODELS else len(MODELS), model)
