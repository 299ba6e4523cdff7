"""What the comparison with many seeds says, in a sentence."""

from collections.abc import Sequence

from apot_lit.report.levels_compared import Compared, Key
from apot_lit.runs.protocol import SCHEME_NAMES
from apot_lit.runs.text import listed


def levels_sentence(compared: Sequence[Compared], other: str) -> str:
    """APoT minus one other scheme: each difference, whether any counts, and what could have been seen.

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
    several = len(widths) > 1
    parts = []
    for key, one in found.items():
        seeds = "" if len(one.pairs) == wanted[key] else f", {len(one.pairs)} of {wanted[key]} seeds so far"
        parts.append(f"{100 * one.difference:+z.3f} ± {100 * one.half_width:.3f} ({_place(key, several)}{seeds})")
    significant = [_place(key, several) for one in compared for key in one.significant() if key in found]
    counts = f"{listed(significant)} {'count' if len(significant) > 1 else 'counts'}" if significant else "none counts"
    seen = sorted({f"{100 * one.visible:.2f}" for one in found.values() if one.visible is not None}, key=float)
    visible = " to ".join(dict.fromkeys((seen[0], seen[-1])))
    left = len(wanted) - len(found)
    to_come = f" {left} of {len(wanted)} such comparisons {'is' if left == 1 else 'are'} still to come."
    rest = to_come if left else ""
    numbers = listed([str(seeds) for seeds in dict.fromkeys(wanted.values())])
    return (
        f"ResNet-10 {among} by the recipe `fast`, {numbers} seeds ([comparison](comparison.md)): APoT minus {name} is "
        f"{listed(parts)}; after correction for their number {counts}. True differences of {visible} points "
        f"would have been found in 80 of 100 repetitions.{rest}"
    )


def _place(key: Key, several: bool) -> str:
    width, bit, _ = key
    return f"width {width} at {bit} bits" if several else f"{bit} bits"
