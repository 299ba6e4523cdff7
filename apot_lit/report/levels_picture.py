"""The picture of the comparison with many seeds: every pair of runs, and what could have been seen."""

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apot_lit.report.collect import Collection
from apot_lit.report.dots import side_by_side
from apot_lit.report.levels_compared import Compared, Key, compared_families
from apot_lit.runs.protocol import SCHEME_NAMES

CAPTION = (
    "APoT minus other levels, ResNet-10 by the recipe fast: a dot for each pair of runs that share their seed, the "
    "mean with the 95 % interval of the pairs; the band reaches to the smallest visible difference"
)
_BAND = 0.72
"""Height of what stands in one line of the picture."""


def levels_picture(collection: Collection) -> Figure | None:
    """Differences of test accuracy in points, by width and bits: a row for each family, a column for each other scheme.

    The band around 0 reaches to the true difference that, with so many pairs of this scatter, counts in 80 of 100
    repetitions.

    Returns:
        The picture, None without a pair.
    """
    families = [compared for compared in compared_families(collection) if compared.differences]
    if not families:
        return None
    others = list(dict.fromkeys(other for compared in families for *_, other in compared.differences))
    lines = [list(dict.fromkeys((width, bit) for width, bit, _ in compared.differences)) for compared in families]
    figure, panels = pyplot.subplots(
        len(families),
        len(others),
        figsize=(3.9 * len(others) + 1.4, 0.5 * sum(map(len, lines)) + 0.9 * len(families)),
        height_ratios=[len(some) + 0.5 for some in lines],
        squeeze=False,
        sharex="row",
        sharey="row",
        layout="constrained",
    )
    for row, compared, some in zip(panels, families, lines, strict=True):
        for axes, other in zip(row, others, strict=True):
            for place, line in enumerate(some):
                _draw(axes, place, compared, (*line, other))
            axes.axvline(0, color="grey", lw=0.8, zorder=1)
            axes.set(title=f"APoT minus {SCHEME_NAMES[other]}", xlabel="points of test accuracy")
        row[0].set_yticks(range(len(some)), [f"width {width}, {bit} bits" for width, bit in some])
        row[0].set_ylim(len(some) - 0.5, -0.5)
    return figure


def _draw(axes: Axes, place: int, compared: Compared, key: Key) -> None:
    one = compared.differences.get(key)
    if one is None:
        return
    visible = compared.visible(key)
    if visible is not None:
        band = 100 * visible
        axes.barh(place, 2 * band, left=-band, height=_BAND, color="lightgrey", zorder=0)
    points = [100 * (apot.test_accuracy - second.test_accuracy) for apot, second in compared.pairs[key].values()]
    places = side_by_side(place, len(points), _BAND)
    axes.scatter(points, places, color="tab:blue", s=9, alpha=0.6, linewidths=0, zorder=2)
    half = None if one.pair_half_width is None else 100 * one.pair_half_width
    mean = 100 * one.difference
    axes.errorbar(mean, place, xerr=half, fmt="|", color="black", ms=14, capsize=3, lw=1.2, zorder=3)
