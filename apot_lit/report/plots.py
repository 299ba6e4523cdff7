"""Pictures of results."""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from apot_lit.data.embedded import load_idx_pair
from apot_lit.data.options import SET_SIZES
from apot_lit.evaluation.confusion import confusion_figure
from apot_lit.quant.levels import Scheme, level_set
from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.statistics import binomial_error, spread
from apot_lit.report.weight_picture import weight_way
from apot_lit.runs.protocol import SCHEME_NAMES, Row

_COLOURS: dict[Scheme, str] = {"apot": "tab:blue", "uniform": "tab:orange", "pot": "tab:green"}
_MAX_DIGITS = 40
_BARS = "standard deviation over seeds (with caps), or the binomial standard error of one seed (pale)"


def accuracy_against_bits(group: Group) -> Figure:
    """Test accuracy of every network against bits, a line per scheme.

    Bars with caps are standard deviations over seeds. Where there is one seed, a pale bar without caps shows the
    binomial standard error, below which the test set itself can't tell accuracies apart.
    """
    models = sorted({row.model for row in group.runs}, key=lambda name: (len(name), name))
    figure, panels = pyplot.subplots(
        1,
        len(models),
        figsize=(3.4 * len(models) + 0.6, 3.4),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    bits = sorted({row.bit for row in group.runs if row.scheme != "float"})
    for axes, model in zip(panels[0], models, strict=True):
        for shift, (scheme, colour) in zip((-0.05, 0.05, 0.0), _COLOURS.items(), strict=True):
            rows = sorted(
                (row for row in group.runs if (row.model, row.scheme) == (model, scheme)), key=attrgetter("bit")
            )
            if rows:
                spreads = [spread([100 * run.test_accuracy for run in group.runs[row]]) for row in rows]
                places, means = [row.bit + shift for row in rows], [value.mean for value in spreads]
                seeds = [value.std or 0 for value in spreads]
                single = [_binomial_percent(value.mean) if value.std is None else 0 for value in spreads]
                axes.errorbar(
                    places, means, yerr=seeds, color=colour, label=SCHEME_NAMES[scheme], marker="o", capsize=3
                )
                axes.errorbar(places, means, yerr=single, color=colour, fmt="none", alpha=0.35, elinewidth=4)
        full = group.runs.get(Row(model, 32, "float"))
        if full:
            axes.axhline(spread([100 * run.test_accuracy for run in full]).mean, color="grey", ls="--", label="float32")
        axes.set(title=model, xlabel="bits", xticks=bits)
        if axes.has_data():
            axes.legend(fontsize=8)
    panels[0][0].set_ylabel("test accuracy, %")
    return figure


def level_sets() -> Figure:
    """The magnitudes of every scheme and number of magnitude bits, 2 to 5."""
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    ticks: list[str] = []
    for bits in range(2, 6):
        for scheme, colour in _COLOURS.items():
            levels = [float(level) for level in level_set(scheme, bits).levels]
            axes.plot(levels, [len(ticks)] * len(levels), "|", color=colour, markersize=11)
            ticks.append(f"{SCHEME_NAMES[scheme]}, {bits} bits")
    axes.set(xlabel="level / alpha", yticks=range(len(ticks)), xlim=(-0.02, 1.02))
    axes.set_yticklabels(ticks, fontsize=8)
    return figure


def weight_histogram(run: Run) -> Figure | None:
    """Weights of a layer, normalised and divided by alpha, over the levels they are rounded to."""
    histogram = run.result.get("weight_histogram")
    if not histogram:
        return None
    figure, axes = pyplot.subplots(figsize=(7, 3.4), layout="constrained")
    axes.stairs(histogram["bin_counts"], histogram["bin_edges"], fill=True, color="lightgrey", label="before")
    positions = [code / histogram["unit"] for code in histogram["codes"]]
    axes.vlines(positions, 0, histogram["code_counts"], color="tab:blue", label="after")
    axes.set(xlabel="weight / alpha", ylabel="weights", yscale="log", title=f"{histogram['layer']}")
    axes.legend(fontsize=8)
    return figure


def clipping_thresholds(run: Run) -> Figure | None:
    """Every learned clipping threshold over the epochs."""
    history = run.result.get("history") or {}
    names = [name for name in history if name.startswith("alpha/")]
    if not names:
        return None
    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    for axes, kind in zip(panels, ("weight", "act"), strict=True):
        of_kind = [name for name in names if name.endswith(f"/{kind}")]
        for index, name in enumerate(of_kind):
            axes.plot(*_curve(history, name), color=pyplot.get_cmap("viridis")(index / max(1, len(of_kind) - 1)), lw=1)
        title = {"weight": "of weights, in standard deviations", "act": "of activations"}[kind]
        axes.set(title=title, xlabel="epoch", ylim=(0, None))
    panels[0].set_ylabel("alpha (dark: first layers)")
    return figure


def learning_curves(run: Run) -> Figure | None:
    """Loss and accuracy on training and validation images over the epochs."""
    history = run.result.get("history") or {}
    if not any(name in history for name in ("train/acc", "val/acc")):
        return None
    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axes, metric, title in zip(panels, ("loss", "acc"), ("loss", "error, %"), strict=True):
        for split in ("train", "val"):
            if f"{split}/{metric}" in history:
                epochs, values = _curve(history, f"{split}/{metric}")
                shown = values if metric == "loss" else [100 * (1 - value) for value in values]
                axes.plot(epochs, shown, label={"train": "training", "val": "validation"}[split])
        axes.set(title=title, xlabel="epoch", yscale="log")
        axes.legend(fontsize=8)
    return figure


def confusion(run: Run) -> Figure | None:
    """Confusion matrix of the test images."""
    return confusion_figure(run.result["confusion"]) if run.result.get("confusion") else None


def misclassified(run: Run, data_dir: Path) -> Figure | None:
    """The test images that were classified wrongly, the first 40."""
    wrong = run.result.get("misclassified")
    if not wrong:
        return None
    images, _ = load_idx_pair(data_dir, "test")
    shown = wrong[:_MAX_DIGITS]
    columns = 10
    lines = -(-len(shown) // columns)
    figure, panels = pyplot.subplots(
        lines, columns, figsize=(0.8 * columns, 1.0 * lines), squeeze=False, layout="constrained"
    )
    for axes in panels.flat:
        axes.axis("off")
    for axes, (index, label, predicted) in zip(panels.flat, shown, strict=False):
        axes.imshow(np.asarray(images[index, 0]), cmap="gray_r")
        axes.set_title(f"{label} as {predicted}", fontsize=8)
    return figure


def all_pictures(collection: Collection, featured: Run, data_dir: Path) -> list[tuple[str, str, Figure]]:
    """Draws everything that the results allow.

    Returns:
        For each picture a name for its file, a caption and the figure.
    """
    which = f"{featured.row.model}, {featured.row.bit} bits, {SCHEME_NAMES[featured.row.scheme]}, seed "
    which += str(featured.seed)
    drawn: list[tuple[str, str, Figure | None]] = [
        (
            f"accuracy_{group.recipe}",
            f"Test accuracy against bits: {group.name}; bars: {_BARS}",
            accuracy_against_bits(group),
        )
        for group in collection.groups
        if group.main
    ]
    drawn += [
        ("levels", "Level sets of every scheme", level_sets()),
        ("weight", "A weight's way: float, level, code, shifts", weight_way()),
        ("weights", f"Weights over their levels: {which}", weight_histogram(featured)),
        ("thresholds", f"Clipping thresholds: {which}", clipping_thresholds(featured)),
        ("curves", f"Learning curves: {which}", learning_curves(featured)),
        ("confusion", f"Confusion matrix of the test images: {which}", confusion(featured)),
        ("misclassified", f"Misclassified test images: {which}", misclassified(featured, data_dir)),
    ]
    return [(name, caption, figure) for name, caption, figure in drawn if figure is not None]


def feature(collection: Collection) -> Run:
    """The run whose details are shown: of those with the most details the one best in validation."""
    details = ("history", "weight_histogram", "confusion", "misclassified")

    def rank(run: Run) -> tuple[int, float]:
        return sum(bool(run.result.get(key)) for key in details), float(run.result.get("val_accuracy") or 0)

    return max((run for group in collection.groups for runs in group.runs.values() for run in runs), key=rank)


def _binomial_percent(accuracy: float) -> float:
    return 100 * binomial_error(accuracy / 100, SET_SIZES["test"])


def _curve(history: dict[str, Any], name: str) -> tuple[Sequence[float], Sequence[float]]:
    points = [(epoch, value) for epoch, value in zip(history["epoch"], history[name], strict=True) if value is not None]
    return [epoch for epoch, _ in points], [value for _, value in points]
