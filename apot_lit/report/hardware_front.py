"""Accuracy against area: the picture, and which levels are on the front where one is only had for the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from matplotlib import pyplot
from matplotlib.figure import Figure

from apot_lit.report.collect import Group
from apot_lit.report.statistics import mean_half_width
from apot_lit.report.unit_prices import GATES, TARGET_NAMES, XILINX, Prices
from apot_lit.runs.protocol import SCHEME_NAMES, Row

SHOWN = ("resnet10", "resnet18")
_COLOURS = {"apot": "tab:blue", "uniform": "tab:orange"}
_AREA = {GATES: "transistors", XILINX: "LUTs"}


@dataclass(frozen=True)
class Point:
    """A scheme at a bit width.

    Attributes:
        scheme: apot or uniform.
        bit: bits of weights and activations.
        area: for a multiplication with its addition, as a share of a dot product.
        accuracies: test accuracy in percent of each seed.
        half_width: half the 95 % interval of their mean.
    """

    scheme: str
    bit: int
    area: float
    accuracies: tuple[float, ...]
    half_width: float

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return mean(self.accuracies)


def points(prices: Prices, group: Group, model: str, target: str) -> list[Point]:
    """Every scheme and bit width that has both a price and an accuracy, by area."""
    found = []
    for scheme in _COLOURS:
        for bit in prices.bits(target):
            area, runs = prices.per_operation(target, scheme, bit), group.runs.get(Row(model, bit, scheme))
            if area is not None and runs:
                half = 100 * mean_half_width([run.outcome for run in runs])
                found.append(Point(scheme, bit, area, tuple(100 * run.test_accuracy for run in runs), half))
    return sorted(found, key=lambda point: (point.area, -point.accuracy))


def front(found: Sequence[Point]) -> list[Point]:
    """Those than which no other one is as small and as accurate, by area."""
    kept: list[Point] = []
    for point in sorted(found, key=lambda point: (point.area, -point.accuracy)):
        if not kept or point.accuracy > kept[-1].accuracy:
            kept.append(point)
    return kept


def front_sentence(prices: Prices, group: Group) -> str | None:
    """Which levels are on the front by transistors; None without prices of dot products."""
    parts = []
    for model in SHOWN:
        kept = front(points(prices, group, model, GATES))
        if kept:
            listed = ", ".join(f"{SCHEME_NAMES[point.scheme]} {point.bit} bits" for point in kept)
            gain, growth = kept[-1].accuracy - kept[0].accuracy, kept[-1].area / kept[0].area
            parts.append(f"of {model} {listed} ({gain:+.2f} points from end to end, for {growth:.1f} times the area)")
    if not parts:
        return None
    return (
        "Of accuracy against transistors per operation of a dot product, the Pareto front by mean accuracies is "
        f"{'; '.join(parts)}."
    )


def front_picture(prices: Prices, group: Group) -> Figure | None:
    """Accuracy against area per operation: a column for each technology, a row for each network."""
    drawn = {(model, target): points(prices, group, model, target) for model in SHOWN for target in _AREA}
    if not all(drawn.values()):
        return None
    figure, panels = pyplot.subplots(len(SHOWN), len(_AREA), figsize=(8, 5.6), sharey="row", layout="constrained")
    for row, model in zip(panels, SHOWN, strict=True):
        for axes, target in zip(row, _AREA, strict=True):
            found = drawn[model, target]
            for scheme, colour in _COLOURS.items():
                own = [point for point in found if point.scheme == scheme]
                areas = [point.area for point in own]
                halves = [point.half_width for point in own]
                style = {"fmt": "_", "capsize": 3, "lw": 1, "color": colour, "label": SCHEME_NAMES[scheme]}
                axes.errorbar(areas, [point.accuracy for point in own], yerr=halves, **style)
                dots = [(point.area, accuracy) for point in own for accuracy in point.accuracies]
                axes.scatter(*zip(*dots, strict=True), color=colour, s=12, alpha=0.6, linewidths=0)
                for point in own:
                    place = (point.area, point.accuracy)
                    axes.annotate(str(point.bit), place, xytext=(4, 4), textcoords="offset points", fontsize=8)
            kept = front(found)
            line = ([point.area for point in kept], [point.accuracy for point in kept])
            axes.step(*line, where="post", color="grey", lw=1, ls="--", label="Pareto front of the means")
            axes.set(
                title=f"{model}, {TARGET_NAMES[target]}", xlabel=f"{_AREA[target]} per multiplication and addition"
            )
        row[0].set_ylabel("test accuracy, %")
    figure.legend(*panels[0][0].get_legend_handles_labels(), fontsize=8, loc="outside upper center", ncols=3)
    return figure
