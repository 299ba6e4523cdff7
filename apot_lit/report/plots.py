"""Pictures of results."""

from operator import attrgetter
from pathlib import Path
from statistics import mean

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from apot_lit.data.embedded import load_idx_pair
from apot_lit.data.known import KNOWN
from apot_lit.data.options import DataOptions
from apot_lit.quant.levels import Scheme, level_set
from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.dots import bit_axis, side_by_side
from apot_lit.report.levels_picture import CAPTION, levels_picture
from apot_lit.report.statistics import mean_half_width
from apot_lit.report.weight_picture import weight_way
from apot_lit.runs.confusion import confusion_figure
from apot_lit.runs.protocol import SCHEME_NAMES

_COLOURS: dict[Scheme, str] = {"apot": "tab:blue", "uniform": "tab:orange", "pot": "tab:green"}
_STYLES: dict[str, tuple[str, float]] = {  # colour of each scheme, and how far beside its bit width it stands
    "apot": (_COLOURS["apot"], -0.2),
    "uniform": (_COLOURS["uniform"], 0.02),
    "pot": (_COLOURS["pot"], 0.24),
    "float": ("grey", 0.0),
}
_BESIDE = 0.09  # how far the dots stand from their mean
_MAX_DIGITS = 40


def accuracy_against_bits(group: Group) -> Figure:
    """Test accuracy against bits, a panel for each network: a dot for each seed, the mean with its 95 % interval."""
    models = group.models
    figure, panels = pyplot.subplots(
        1,
        len(models),
        figsize=(3 * len(models) + 0.6, 3.4),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    axis = bit_axis(row.bit for row in group.runs)
    for axes, model in zip(panels[0], models, strict=True):
        for scheme, (colour, shift) in _STYLES.items():
            rows = sorted(
                (row for row in group.runs if (row.model, row.scheme) == (model, scheme)), key=attrgetter("bit")
            )
            if not rows:
                continue
            members = [group.runs[row] for row in rows]
            means = [100 * mean(run.test_accuracy for run in runs) for runs in members]
            halves = [100 * mean_half_width([run.outcome for run in runs]) for runs in members]
            places = [axis[row.bit] + shift for row in rows]
            style = {"marker": "_", "capsize": 3, "lw": 1, "color": colour}
            axes.errorbar(places, means, yerr=halves, label=SCHEME_NAMES[scheme], **style)
            for place, runs in zip(places, members, strict=True):
                accuracies = [100 * run.test_accuracy for run in runs]
                dots = side_by_side(place + _BESIDE, len(runs))
                axes.scatter(dots, accuracies, color=colour, s=10, alpha=0.6, linewidths=0)
            if scheme == "float":
                axes.axhline(means[0], color=colour, ls="--", lw=1)
        shown = {bit: place for bit, place in axis.items() if any(row.bit == bit for row in group.runs)}
        axes.set(title=model, xlabel="bits")
        axes.set_xticks([*shown.values()], map(str, shown))
        if axes.has_data():
            axes.legend(fontsize=7, loc="lower right")
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


def confusion(run: Run) -> Figure | None:
    """Confusion matrix of the test images."""
    counts, data = run.result.get("confusion"), run.result["config"]["data"]
    known = KNOWN.get(data.get("source", DataOptions.source))
    names = map(str, range(len(counts or []))) if known is None else known.class_names
    return confusion_figure(counts, list(names)) if counts else None


def misclassified(run: Run, data_dir: Path) -> Figure | None:
    """The test images that were classified wrongly, the first 40; of an official data set."""
    wrong = run.result.get("misclassified")
    source = run.result["config"]["data"].get("source", DataOptions.source)
    if not wrong or source not in KNOWN:
        return None
    images, _ = load_idx_pair(data_dir, "test", source=source)
    shown = wrong[:_MAX_DIGITS]
    columns = 10
    lines = -(-len(shown) // columns)
    figure, panels = pyplot.subplots(
        lines, columns, figsize=(0.8 * columns, 1.0 * lines), squeeze=False, layout="constrained"
    )
    for axes in panels.flat:
        axes.axis("off")
    for axes, (index, label, predicted) in zip(panels.flat, shown, strict=False):
        axes.imshow(np.asarray(images[index].permute(1, 2, 0)), cmap="gray_r")  # of colours no map is used
        axes.set_title(f"{label} as {predicted}", fontsize=8)
    return figure


def all_pictures(collection: Collection, featured: Run, data_dir: Path) -> list[tuple[str, str, Figure]]:
    """Draws everything that the results allow.

    Returns:
        For each picture a name for its file, a caption and the figure.
    """
    which = name_of(featured)
    drawn: list[tuple[str, str, Figure | None]] = [
        (
            f"accuracy_{group.recipe}",
            f"Test accuracy against bits: {group.name}; a dot for each seed, bars: 95 % interval of the mean",
            accuracy_against_bits(group),
        )
        for group in collection.groups
        if group.main
    ]
    drawn += [
        ("comparison", CAPTION, levels_picture(collection)),
        ("levels", "Level sets of every scheme", level_sets()),
        ("weight", "A weight's way: float, level, code, shifts", weight_way()),
        ("weights", f"Weights over their levels: {which}", weight_histogram(featured)),
        ("confusion", f"Confusion matrix of the test images: {which}", confusion(featured)),
        ("misclassified", f"Misclassified test images: {which}", misclassified(featured, data_dir)),
    ]
    return [(name, caption, figure) for name, caption, figure in drawn if figure is not None]


def name_of(run: Run) -> str:
    """Network, bits, scheme and seed of a run."""
    return f"{run.row.model}, {run.row.bit} bits, {SCHEME_NAMES[run.row.scheme]}, seed {run.seed}"


def feature(collection: Collection) -> Run:
    """The run whose details are shown: of those with the most details the one best in validation."""
    details = ("history", "weight_histogram", "confusion", "misclassified")

    def rank(run: Run) -> tuple[int, float]:
        return sum(bool(run.result.get(key)) for key in details), run.val_accuracy or 0.0

    return max((run for group in collection.groups for runs in group.runs.values() for run in runs), key=rank)
