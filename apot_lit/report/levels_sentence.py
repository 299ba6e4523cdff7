"""What the comparison with many seeds says, in a sentence."""

from collections.abc import Mapping, Sequence

from apot_lit.report.levels_compared import Compared, Key
from apot_lit.report.verdicts import Named, extent
from apot_lit.runs.protocol import SCHEME_NAMES
from apot_lit.runs.text import counted, listed


def levels_sentence(compared: Sequence[Compared], other: str) -> str:
    """APoT minus one other scheme: which differences count, how large they are, and what could have been seen.

    Args:
        compared: families of comparisons, as far as they have runs.
        other: the scheme.
    """
    name = SCHEME_NAMES[other]
    wanted = {key: one.family.seeds for one in compared for key in one.pairs if key[2] == other}
    found = {
        key: comparison
        for one in compared
        for key, comparison in one.differences.items()
        if key in wanted and comparison.pair_half_width is not None
    }
    widths = list(dict.fromkeys(width for width, *_ in wanted))
    among = f"of width {listed([str(width) for width in widths])}"
    if not found:
        return f"APoT and {name} levels were not compared with several seeds yet in networks {among}."
    named = {}
    for key, one in found.items():
        seeds = "" if len(one.pairs) == wanted[key] else f", {len(one.pairs)} of {wanted[key]} seeds so far"
        named[key] = (f"{_place(key, len(widths) > 1)}{seeds}", one)
    counting = [key for one in compared for key in one.significant() if key in found]
    seen = [one.visible(key) or 0.0 for one in compared for key in one.differences if key in found]
    visible = " to ".join(dict.fromkeys(f"{100 * value:.2f}" for value in (min(seen), max(seen))))
    left = len(wanted) - len(found)
    to_come = f" {left} of {len(wanted)} such comparisons {'is' if left == 1 else 'are'} still to come."
    rest = to_come if left else ""
    numbers = listed([str(seeds) for seeds in dict.fromkeys(wanted.values())])
    return (
        f"ResNet-10 {among} by the recipe `fast`, {numbers} seeds ([comparison](comparison.md)): of "
        f"{counted(len(found), 'difference')} (APoT minus {name}) {_counting(named, counting)}. A true difference of "
        f"{visible} points would have counted in 80 of 100 repetitions.{rest}"
    )


def _counting(named: Mapping[Key, Named], counting: Sequence[Key]) -> str:
    """How many differences count, and what they and the others are."""
    corrected = "after correction for their number"
    others = [one for key, one in named.items() if key not in counting]
    if not counting:
        return f"none counts {corrected}: {extent(others, 3)}"
    number = "all" if len(counting) == len(named) > 1 else str(len(counting))
    rest = f"; the others are {extent(others, 3)}" if others else ""
    count = "counts" if len(counting) == 1 else "count"
    return f"{number} {count} {corrected}: {extent([named[key] for key in counting], 3)}{rest}"


def _place(key: Key, several: bool) -> str:
    width, bit, _ = key
    return f"width {width} at {bit} bits" if several else f"{bit} bits"
