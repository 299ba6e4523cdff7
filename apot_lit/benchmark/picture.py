"""The picture of a benchmark's result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

_MARKERS = {"apot": "o", "uniform": "s"}
_COLOURS = {"contiguous": "tab:blue", "channels_last": "tab:orange", "compiled": "tab:green"}


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draws the ratios of training steps over bit widths, one panel per network, and the projections.

    Args:
        result: the content of a ``benchmark.json``.
        path: of the picture to write.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot

    models = list(dict.fromkeys(row["model"] for row in result["steps"]))
    figure, axes = pyplot.subplots(1, len(models) + 1, figsize=(5 * (len(models) + 1), 4.2), layout="constrained")
    for model, panel in zip(models, axes, strict=False):
        _draw_steps(panel, [row for row in result["steps"] if row["model"] == model])
        panel.set(title=f"training step, {model}", xlabel="bits", ylabel="time, float32 = 1", ylim=(0, None))
    panel = axes[-1]
    rows = result["projection"]["rows"]
    panel.barh([row["name"] for row in rows], [row["to_copy"]["median"] for row in rows], color="tab:gray")
    panel.set(title=f"projection of {result['projection']['elements']:,} activations", xscale="log")
    panel.set(xlabel="time, memory copy = 1")
    panel.invert_yaxis()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _draw_steps(panel: Any, rows: list[dict[str, Any]]) -> None:
    for variant, colour in _COLOURS.items():
        for scheme, marker in _MARKERS.items():
            points = sorted(
                (row["bit"], row["ratio"]) for row in rows if (row["scheme"], row["variant"]) == (scheme, variant)
            )
            if points:
                middle = [ratio["median"] for _bit, ratio in points]
                spread = [
                    [ratio["median"] - ratio["q1"] for _bit, ratio in points],
                    [ratio["q3"] - ratio["median"] for _bit, ratio in points],
                ]
                bits = [bit for bit, _ratio in points]
                panel.errorbar(bits, middle, spread, marker=marker, color=colour, label=f"{scheme}, {variant}")
        for row in rows:
            if (row["scheme"], row["variant"]) == ("float", variant):
                panel.axhline(row["ratio"]["median"], color=colour, linestyle=":", label=f"float32, {variant}")
    panel.set_xticks(sorted({row["bit"] for row in rows if row["scheme"] != "float"}))
    panel.legend(fontsize=7)
