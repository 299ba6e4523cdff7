"""Several differences within a sentence: in the order of their verdicts, and only their extent where they are many."""

from collections.abc import Sequence

from apot_lit.report.pairs import Pairs, difference, in_points, on_two_machines
from apot_lit.report.statistics import SIGNIFICANT, Comparison, corrected_p_values
from apot_lit.runs.text import counted, listed

_LISTED = 4
_VERDICTS: tuple[tuple[bool | None, str], ...] = (
    (True, "more than noise"),
    (False, "within noise"),
    (None, "of a single pair"),
)

Named = tuple[str, Comparison]
"""What a difference is of, and the difference."""


def extent(found: Sequence[Named], decimals: int = 2) -> str:
    """Differences in points with half their interval and what they are of: up to four, else the lowest and highest.

    Args:
        found: at least one.
        decimals: of the numbers.
    """
    if len(found) <= _LISTED:
        return listed([_interval(one, decimals) for one in found])
    ordered = sorted(found, key=lambda one: one[1].difference)
    return f"from {_interval(ordered[0], decimals)} to {_interval(ordered[-1], decimals)}"


def verdicts(changes: Sequence[tuple[str, Pairs]]) -> str:
    """How many pairs each difference is of, and which are more than noise, within noise, or of a single pair.

    Of those that are more than noise it is said which count when their p-values are corrected for the number of
    comparisons (Holm); several pairs make a comparison.

    Args:
        changes: what each is of and its pairs of runs, at least one.
    """
    compared = [(name, one) for name, pairs in changes if (one := difference(pairs)) is not None]
    parts = []
    for verdict, said in _VERDICTS:
        own = [one for one in compared if one[1].more_than_noise is verdict]
        if own:
            many = f"{len(own)} are {said}, {extent(own)}"
            few = f"{extent(own)} {'is' if len(own) == 1 else 'are'} {said}"
            parts.append((many if len(own) > _LISTED else few) + (_corrected(own, compared) if verdict else ""))
    counts = sorted({len(one.pairs) for _, one in compared})
    most = counted(counts[-1], "pair")
    pairs = f"{most} each" if len(counts) == 1 else f"{counts[0]} to {most} each"
    apart = sum(on_two_machines(both.values()) for _, both in changes)
    where = f", {apart} of {sum(len(both) for _, both in changes)} on two machines" if apart else ""
    return f"({pairs}{where}): {'; '.join(parts)}"


def _corrected(told: Sequence[Named], compared: Sequence[Named]) -> str:
    """Which of those that are more than noise still are when all comparisons are corrected for their number."""
    corrected = corrected_p_values(dict(compared))
    if len(corrected) == 1:
        return ""
    left = [name for name, _ in told if corrected[name] < SIGNIFICANT]
    if len(left) == len(told):
        return f" (also corrected for {len(corrected)} comparisons)"
    still = f"only {listed(left)} {'is' if len(left) == 1 else 'are'}" if left else "none is"
    return f" (corrected for {len(corrected)} comparisons, {still})"


def _interval(found: Named, decimals: int) -> str:
    name, one = found
    return f"{in_points(one, decimals)} ({name})"
