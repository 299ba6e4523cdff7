"""APoT against uniform levels, over what both were trained with."""

from collections.abc import Iterable, Sequence

from apot_lit.report.collect import Group, Run
from apot_lit.report.statistics import Comparison, compare
from apot_lit.runs.protocol import Row

Key = tuple[str, int]
"""Network and seed."""

Pairs = dict[Key, tuple[Run, Run]]
"""Two runs by what they share."""


Kind = tuple[int, str]
"""Bit width and scheme."""


def by_seed(name: str, first: Iterable[Run], second: Iterable[Run]) -> Pairs:
    """The runs of two rows that share their seed.

    Args:
        name: what the pairs are said to be of.
        first: runs of one row.
        second: of the other.
    """
    others = {run.seed: run for run in second}
    return {(name, run.seed): (run, others[run.seed]) for run in first if run.seed in others}


def sharing(group: Group, models: Sequence[str], first: Kind, second: Kind) -> Pairs:
    """The runs of two kinds that share network and seed."""
    found: Pairs = {}
    for model in models:
        ones, others = (group.runs.get(Row(model, *kind), []) for kind in (first, second))
        found.update(by_seed(model, ones, others))
    return found


def apot_and(other: str, group: Group, models: Sequence[str], bit: int) -> Pairs:
    """The runs of APoT and of levels of another scheme that share network, seed and bit width."""
    return sharing(group, models, (bit, "apot"), (bit, other))


def apot_and_uniform(group: Group, models: Sequence[str], bit: int) -> Pairs:
    """The runs of APoT and of uniform levels that share network, seed and bit width."""
    return apot_and("uniform", group, models, bit)


def difference(pairs: Pairs) -> Comparison | None:
    """First minus second, of the test accuracies, with its interval; None without a pair."""
    return compare(
        {key: first.outcome for key, (first, _) in pairs.items()},
        {key: second.outcome for key, (_, second) in pairs.items()},
    )


def apot_minus_uniform(group: Group, models: Sequence[str], bit: int) -> Comparison | None:
    """The difference of their test accuracies with its interval, None without a pair."""
    return difference(apot_and_uniform(group, models, bit))


def in_points(comparison: Comparison, decimals: int = 2) -> str:
    """A difference in points with half its interval."""
    return f"{100 * comparison.difference:+z.{decimals}f} ± {100 * comparison.half_width:.{decimals}f}"


def p_cell(value: float | None) -> str:
    """A p-value as a cell of a table."""
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def described(comparison: Comparison | None, pairs: Iterable[tuple[Run, Run]], unit: str) -> str:
    """A comparison as a cell of a table.

    Args:
        comparison: of the pairs.
        pairs: of runs; how many of them were made on two machines is said.
        unit: what one pair is called.
    """
    if comparison is None:
        return "-"
    interval = in_points(comparison)
    if comparison.more_than_noise is None:
        said = f"{interval} (1 {unit})"
    else:
        said = f"{interval}, {'more than noise' if comparison.more_than_noise else 'within noise'}"
    apart = on_two_machines(pairs)
    return f"{said}, {apart} on two machines" if apart else said


def change_of(pairs: Pairs) -> str:
    """The difference of at least one pair within a sentence: with its interval, its verdict and how many pairs."""
    compared = difference(pairs)
    if compared is None or compared.more_than_noise is None:
        return described(compared, (), "seed")
    verdict = "more than noise" if compared.more_than_noise else "within noise"
    return f"{in_points(compared)} ({verdict}, {len(pairs)} pairs)"


def on_two_machines(pairs: Iterable[tuple[Run, Run]]) -> int:
    """How many pairs have runs of two kinds of machine."""
    return sum(machines(both) > 1 for both in pairs)


def machines(runs: Iterable[Run]) -> int:
    """On how many kinds of machine runs were made: CPU, threads and device together; those that are not known aside."""
    return len({run.machine for run in runs} - {None})
