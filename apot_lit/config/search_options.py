"""The section ``search`` of search.py: what is searched, for which cost, and how."""

from dataclasses import dataclass
from typing import Any

from apot_lit.config.sections import MISSING
from apot_lit.data.options import SEED, Name
from apot_lit.quant.ranges import AnyOf, Integer, ListOf, Number, OneOf, option, or_null

GROUPS = ("layers", "blocks", "stages")
COSTS = ("size", "operations", "gates")
SAMPLERS = ("tpe", "nsga2")


@dataclass(frozen=True)
class Pattern:
    """Patterns of names of layers."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and bool(value.strip())

    def __str__(self) -> str:
        return "a pattern of names of layers"


@dataclass
class SearchOptions:
    """Options of a search."""

    name: str = option(MISSING, Name(), "of its directory below outputs/search")
    trials: int = option(50, Integer(0), "trials that the search has in the end; 0: only write its files")
    bits: list[int] = option(
        [2, 3, 4, 5],
        ListOf(OneOf(tuple(range(2, 9))), distinct=True, may_be_empty=True),
        "what a group of layers may have; []: not searched",
    )
    groups: Any = option(
        "layers",
        AnyOf((OneOf(GROUPS), ListOf(Pattern(), distinct=True))),
        "layers, blocks or stages; or a list of patterns of names",
    )
    space: dict[str, Any] = option({}, None, "other options: {optimizer.lr: {low: 0.01, high: 0.1, log: true}}")
    cost: str = option("size", OneOf(COSTS), "size, operations or gates")
    prices: str = option(MISSING, None, "directory with results of hardware.py, for cost=gates")
    sampler: str = option("tpe", OneOf(SAMPLERS), "tpe or nsga2")
    seed: int = option(0, SEED, "of the sampler; seed is that of the trainings")
    margin: float | None = option(0.01, or_null(Number(0, 1)), "how far behind a trial is stopped; null: none is")
    max_cost: float | None = option(
        None, or_null(Number(0, 1e18, above=True)), "choose the best below it; null: the knee of the front"
    )
