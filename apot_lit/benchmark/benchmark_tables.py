"""Tables of what benchmarks measured, for the terminal and for the README."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from apot_lit.benchmark.targets import compare_inference_with_targets
from apot_lit.runs.protocol import SCHEME_NAMES
from apot_lit.runs.text import text_table

INFERENCE_BASE = "float32 ONNX"
VARIANTS = ("contiguous", "channels_last", "compiled")


def markdown_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Formats the contents of files ``benchmark.json`` as documents show them: steps, targets, which are missed.

    Args:
        results: the contents, at least one. A target that several of them measured is shown as the first did.

    Returns:
        Lines of Markdown, without an empty line at either end.
    """
    parts = []
    for result in results:
        parts += [_where(result), tabulate(_step_rows(result), _STEP_HEADERS, tablefmt="github", disable_numparse=True)]
    targets: dict[str, list[str]] = {}
    for row in (row for result in results for row in _target_rows(result)):
        if row[0] not in targets or targets[row[0]][-1] == _UNKNOWN:
            targets[row[0]] = row
    parts.append(tabulate(list(targets.values()), _TARGET_HEADERS, tablefmt="github", disable_numparse=True))
    missed = [name for name, *_, met in targets.values() if met == _MET[False]]
    parts.append(f"Not met: {'; '.join(missed)}." if missed else "No target that was measured is missed.")
    return "\n\n".join(parts)


def inference_report(result: Mapping[str, Any], style: str = "simple") -> str:
    """Formats the content of an ``inference.json``.

    Args:
        result: the content.
        style: of tabulate; ``simple`` for the terminal shows quartiles as well, ``github`` is for the README.

    Returns:
        Where it was measured, speeds relative to float32 ONNX, targets if any were measured, sizes of packed networks.
    """
    engines = list(dict.fromkeys(row["engine"] for row in result["rows"]))
    rows: dict[tuple[str, int, int], dict[str, str]] = {}
    for row in result["rows"]:
        name = (_exported(row), row["batch"], row["threads"])
        cells = rows.setdefault(name, {})
        cells[row["engine"]] = f"{row['ratio']['median']:.2f}" if style == "github" else _spread(row["ratio"])
        if row["engine"] == INFERENCE_BASE:
            cells[row["engine"]] = f"{row['images_per_second']:,.0f} images/s"
    table = tabulate(
        [[*name, *(cells.get(engine, "-") for engine in engines)] for name, cells in rows.items()],
        headers=["network", "batch", "threads", *engines],
        tablefmt=style,
        disable_numparse=True,
    )
    sizes = [f"{_exported(size)}: {size['share']:.3f}" for size in result["sizes"]]
    compared = {"targets": compare_inference_with_targets(result)}
    targets = tabulate(_target_rows(compared), _TARGET_HEADERS, tablefmt=style, disable_numparse=True)
    is_measured = any(target["met"] is not None for target in compared["targets"])
    where = (
        f"Images per second, relative to {INFERENCE_BASE} (more is faster); {result['hardware']['cpu']}, "
        f"onnxruntime {result['onnxruntime']}, torch {result['versions']['torch']}; "
        f"medians of {result['repeats']} interleaved repeats."
    )
    bytes_ = f"Bytes of packed files over those of the float32 weights: {'; '.join(sizes)}."
    return "\n\n".join([where, table, *([targets] if is_measured else []), bytes_])


def _exported(row: Mapping[str, Any]) -> str:
    """The name of an exported network; results of before there was a choice are of the reference stem."""
    stem = row.get("stem", "reference")
    model = row["model"] if stem == "reference" else f"{row['model']}, {stem} stem"
    return f"{model}, {SCHEME_NAMES[row['scheme']]} {row['bit']} bits"


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
                f"evaluation {row['model']} {SCHEME_NAMES[row['scheme']]} {row['bit']} bits",
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


_STEP_HEADERS = ["network", "weights and activations", "float32", *VARIANTS]
_UNKNOWN = "not measured"
_MET = {True: "yes", False: "no", None: _UNKNOWN}
_TARGET_HEADERS = ["target", "wanted", "measured", "met"]


def _where(result: Mapping[str, Any]) -> str:
    hardware = result["hardware"]
    device = "" if hardware["device"] == "cpu" else f"{hardware['device']}, "
    batch_size = result["config"]["data"]["batch_size"]
    return (
        f"Training steps of {batch_size} images, times that of float32 as usually written; {device}{hardware['cpu']}, "
        f"{hardware['threads']} threads, torch {result['versions']['torch']}; "
        f"medians of {result['repeats']} interleaved repeats."
    )


def _step_rows(result: Mapping[str, Any], spread: bool = False) -> list[list[str]]:
    """One row per network, scheme and bit width, one column per variant."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in result["steps"]:
        scheme = SCHEME_NAMES[row["scheme"]] + ("" if row["scheme"] == "float" else f", {row['bit']} bits")
        cells = rows.setdefault((row["model"], scheme), {"base": f"{row['float_ms']['median']:.1f} ms"})
        cells[row["variant"]] = _spread(row["ratio"]) if spread else f"{row['ratio']['median']:.2f}"
    return [[*names, *(cells.get(column, "-") for column in ("base", *VARIANTS))] for names, cells in rows.items()]


def _target_rows(result: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            target["name"],
            target["target"],
            "-" if target["measured"] is None else f"{target['measured']:.3g}",
            _MET[target["met"]],
        ]
        for target in result["targets"]
    ]


def _spread(values: Mapping[str, float]) -> str:
    return f"{values['median']:.2f} ({values['q1']:.2f}-{values['q3']:.2f})"
