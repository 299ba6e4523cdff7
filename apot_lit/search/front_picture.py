"""The picture of a search: every trial, and the front."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from apot_lit.search.front import FINISHED, STOPPED, Point
from apot_lit.search.trial_cost import UNITS

_STYLES = {FINISHED: ("o", "tab:blue", "finished"), STOPPED: ("x", "tab:grey", "stopped, accuracy when it was")}
_ROOM = 0.1


def front_figure(found: Sequence[Point], front: Sequence[Point], chosen: Point, cost: str) -> Figure:
    """Validation accuracy against cost.

    The axis shows the finished trials; stopped ones far below it are marked at its lower edge.

    Args:
        found: all trials.
        front: those of the Pareto front, by cost.
        chosen: one of them.
        cost: a name of `UNITS`.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    reached = [100 * point.accuracy for point in found if point.state == FINISHED and point.accuracy is not None]
    room = _ROOM * (max(reached) - min(reached)) or _ROOM
    lowest, highest = min(reached) - room, max(reached) + room
    for state, (marker, colour, label) in _STYLES.items():
        own = [(point.cost, point.accuracy) for point in found if point.state == state and point.accuracy is not None]
        if own:
            costs, accuracies = zip(*own, strict=True)
            shown = [max(100 * accuracy, lowest) for accuracy in accuracies]
            axes.scatter(costs, shown, marker=marker, color=colour, s=18, alpha=0.7, label=label, clip_on=False)
    line = ([point.cost for point in front], [100 * (point.accuracy or 0) for point in front])
    axes.step(*line, where="post", color="tab:orange", lw=1.2, label="Pareto front")
    axes.scatter(*line, color="tab:orange", s=28)
    axes.scatter(
        [chosen.cost],
        [100 * (chosen.accuracy or 0)],
        s=120,
        facecolors="none",
        edgecolors="tab:red",
        label="chosen",
    )
    axes.set(xlabel=f"{cost}: {UNITS[cost]}", ylabel="accuracy in validation, %", ylim=(lowest, highest))
    axes.legend(fontsize=8)
    return figure
