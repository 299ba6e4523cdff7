"""The trials as points of cost and accuracy, their Pareto front, and the choice of one of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apot_lit.errors import UserError

FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
_STATES = {"COMPLETE": FINISHED, "PRUNED": STOPPED}


@dataclass(frozen=True)
class Point:
    """One trial that is over.

    Attributes:
        trial: its number.
        state: finished, stopped or failed.
        cost: known before it was trained.
        accuracy: in validation, from 0 to 1; of a stopped one when it was stopped, None of a failed one.
        epochs: how many it had; None of a failed one.
        params: what it tried.
        directory: name of its run's.
    """

    trial: int
    state: str
    cost: float
    accuracy: float | None
    epochs: int | None
    params: Mapping[str, Any]
    directory: str


def points(study: Any) -> list[Point]:
    """The trials of a study that are over, by number; interrupted ones are tried again and are none."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        attrs = trial.user_attrs
        state = _STATES.get(trial.state.name, FAILED if "error" in attrs else None)
        if state is not None and "cost" in attrs:
            reached = trial.values[0] if state == FINISHED else attrs.get("accuracy")
            rest = (reached, attrs.get("epochs"), dict(trial.params), attrs["run"])
            found.append(Point(trial.number, state, attrs["cost"], *rest))
    return found


def pareto_front(found: Sequence[Point]) -> list[Point]:
    """The finished points than which no other one is as cheap and as accurate, by cost; of equal ones the first."""
    kept: list[Point] = []
    for point in sorted(
        (one for one in found if one.state == FINISHED), key=lambda one: (one.cost, -_accuracy(one), one.trial)
    ):
        if not kept or _accuracy(point) > _accuracy(kept[-1]):
            kept.append(point)
    return kept


def choose(front: Sequence[Point], max_cost: float | None) -> Point:
    """One point of a front: the most accurate of at most a cost, or the knee.

    With cost c and accuracy a scaled to go from 0 to 1 along the front, the knee is the point of the largest ``a - c``,
    the one farthest above the straight line between both ends; of equal ones the cheapest, which is the only choice
    between two ends. Source: Satopaa et al., "Finding a 'Kneedle' in a Haystack", 2011, without its smoothing.

    Args:
        front: see `pareto_front`; at least one point.
        max_cost: None for the knee.

    Raises:
        UserError: if no point costs as little.
    """
    if max_cost is not None:
        below = [point for point in front if point.cost <= max_cost]
        if not below:
            raise UserError(f"search.max_cost={max_cost:.15g}: the cheapest finished trial costs {front[0].cost:.15g}")
        return below[-1]
    first, last = front[0], front[-1]

    def height(point: Point) -> float:
        if first is last:
            return 0.0
        share = (_accuracy(point) - _accuracy(first)) / (_accuracy(last) - _accuracy(first))
        return round(share - (point.cost - first.cost) / (last.cost - first.cost), 12)

    return max(front, key=height)


def _accuracy(point: Point) -> float:
    assert point.accuracy is not None
    return point.accuracy
