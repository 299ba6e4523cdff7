"""Tables of a benchmark's result, for the terminal and for the README."""

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from apot_lit.results import text_table

BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"
VARIANTS = ("eager", "channels_last", "compiled")
_SCHEMES = {"float": "float32", "apot": "APoT", "uniform": "uniform"}


def markdown_table(result: Mapping[str, Any]) -> str:
    """Formats the content of a ``benchmark.json`` as the README shows it: ratios of steps, then the targets.

    Args:
        result: the content.

    Returns:
        Lines of Markdown, without an empty line at either end.
    """
    steps = tabulate(_step_rows(result), _STEP_HEADERS, tablefmt="github", disable_numparse=True)
    targets = tabulate(_target_rows(result), _TARGET_HEADERS, tablefmt="github", disable_numparse=True)
    return f"{_where(result)}\n\n{steps}\n\n{targets}"


def readme_section(readme: str) -> str | None:
    """Returns what stands between the markers of a README, or None where the markers are not there."""
    _, begin, rest = readme.partition(BEGIN)
    section, end, _ = rest.partition(END)
    return section.strip() if begin and end else None


def text_report(result: Mapping[str, Any]) -> str:
    """Formats all measurements for the terminal."""
    pipeline, epoch = result["pipeline"], result["epoch"]
    projection = [
        [row["name"], f"{row['ms']['median']:.3f} ms", _spread(row["to_copy"]), _spread(row["speedup"])]
        for row in result["projection"]["rows"]
    ]
    rates = [
        ["input pipeline", f"{pipeline['images_per_second']['ours']:,.0f}"],
        ["torchvision and DataLoader", f"{pipeline['images_per_second']['torchvision']:,.0f}"],
        *(
            [
                f"evaluation {row['model']} {_SCHEMES[row['scheme']]} {row['bit']} bits",
                f"{row['images_per_second']:,.0f}",
            ]
            for row in result["evaluation"]
        ),
    ]
    eight = [
        f"{row['model']}: a step at 8 bits takes {_spread(row['ratio'])} times one at 2 bits"
        for row in result["step_8_to_2"]
    ]
    return "\n\n".join(
        [
            _where(result),
            text_table(_step_rows(result, spread=True), _STEP_HEADERS),
            *eight,
            text_table(projection, ["projection", "time", "in memory copies", "faster than distances"]),
            text_table(rates, ["", "images/s"]),
            f"pipeline: {100 * pipeline['step_share']:.2f} % of a float32 {pipeline['step_model']} step",
            f"epoch of {epoch['steps']} steps through the Trainer: {epoch['ratio']:.3f} times the bare loop",
            text_table(_target_rows(result), _TARGET_HEADERS),
        ]
    )


_STEP_HEADERS = ["network", "weights and activations", "float32 eager", *VARIANTS]
_TARGET_HEADERS = ["target", "wanted", "measured", "met"]


def _where(result: Mapping[str, Any]) -> str:
    hardware = result["hardware"]
    device = "" if hardware["device"] == "cpu" else f"{hardware['device']}, "
    batch_size = result["config"]["data"]["batch_size"]
    return (
        f"Training steps of {batch_size} images, times that of float32 in eager mode; {device}{hardware['cpu']}, "
        f"{hardware['threads']} threads, torch {result['versions']['torch']}; "
        f"medians of {result['repeats']} interleaved repeats."
    )


def _step_rows(result: Mapping[str, Any], spread: bool = False) -> list[list[str]]:
    """One row per network, scheme and bit width, one column per variant."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in result["steps"]:
        scheme = _SCHEMES[row["scheme"]] + ("" if row["scheme"] == "float" else f", {row['bit']} bits")
        cells = rows.setdefault((row["model"], scheme), {"base": f"{row['float_ms']['median']:.1f} ms"})
        cells[row["variant"]] = _spread(row["ratio"]) if spread else f"{row['ratio']['median']:.2f}"
    return [[*names, *(cells.get(column, "-") for column in ("base", *VARIANTS))] for names, cells in rows.items()]


def _target_rows(result: Mapping[str, Any]) -> list[list[str]]:
    met = {True: "yes", False: "no", None: "not measured"}
    return [
        [
            target["name"],
            target["target"],
            "-" if target["measured"] is None else f"{target['measured']:.3g}",
            met[target["met"]],
        ]
        for target in result["targets"]
    ]


def _spread(values: Mapping[str, float]) -> str:
    return f"{values['median']:.2f} ({values['q1']:.2f}-{values['q3']:.2f})"
