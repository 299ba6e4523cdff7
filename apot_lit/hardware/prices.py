"""Prices of units on targets: every way to write small units, large ones in the cheapest ways of small ones."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from apot_lit.hardware.candidates import Candidate, Pair, candidates
from apot_lit.hardware.products import Way
from apot_lit.hardware.technologies import TARGETS, Price, Target, price_all

DOT_WAYS = 2
"""Dot products are priced in so many ways that are the cheapest for multipliers, and for multiply-accumulates."""
_BATCH = 120  # units that one run of the synthesiser takes
_WITH_DSPS = "xilinx7_dsp"


def measure_prices(
    pairs: Sequence[Pair], kinds: Sequence[str], targets: Sequence[str], products: int, lanes: int
) -> Iterator[list[dict[str, Any]]]:
    """Prices of every unit, as entries of a result; those of one target and one pair of bit widths at a time.

    Args:
        pairs: the quantisers.
        kinds: of units, of `apot_lit.hardware.candidates.KINDS`.
        targets: names of `TARGETS`.
        products: how many products an accumulator must hold the sum of.
        lanes: products per clock of dot products.

    Raises:
        UserError, RuntimeError: see `apot_lit.hardware.yosys.run_yosys`.
    """
    for name in targets:
        target = TARGETS[name]
        for (weight_bit, act_bit), members in groupby(pairs, lambda pair: (pair.weight_bit, pair.act_bit)):
            started = time.perf_counter()
            group = list(members)
            wanted = [
                one
                for pair in group
                for kind in kinds
                if kind != "dot"
                for one in candidates(pair, kind, products, lanes)
                if _differs(target, one)
            ]
            prices = _priced(target, wanted)
            if "dot" in kinds:
                dots = [one for pair in group for one in _cheapest_dots(target, pair, prices, products, lanes)]
                prices += _priced(target, dots)
            seconds = time.perf_counter() - started
            print(f"{name}, {weight_bit} x {act_bit} bits: {len(prices)} units in {seconds:.0f} s", flush=True)
            yield [_entry(target, one, price) for one, price in prices]


def _differs(target: Target, one: Candidate) -> bool:
    """Whether a target can have another price than the one without DSPs: for what the synthesiser may give a DSP."""
    multiplied = one.way is not None and one.way.method == "multiply" and not one.way.booth and one.kind != "fixed"
    return target.name != _WITH_DSPS or multiplied


def _priced(target: Target, wanted: Sequence[Candidate]) -> list[tuple[Candidate, Price]]:
    found = []
    for first in range(0, len(wanted), _BATCH):
        batch = wanted[first : first + _BATCH]
        booth = [one.unit.name for one in batch if one.way is not None and one.way.booth]
        prices = price_all(target, [one.unit for one in batch], booth)
        found += [(one, prices[one.unit.name]) for one in batch]
    return found


def _cheapest_dots(
    target: Target, pair: Pair, prices: Sequence[tuple[Candidate, Price]], products: int, lanes: int
) -> Iterator[Candidate]:
    best: list[Way | None] = []
    for kind in ("multiplier", "mac"):
        own = [(one.way, price) for one, price in prices if one.kind == kind and one.pair == pair]
        best += [way for way, _ in sorted(own, key=lambda item: (item[1].area, item[1].delay))[:DOT_WAYS]]
    for one in candidates(pair, "dot", products, lanes):
        if (one.way in best or not best) and _differs(target, one):
            yield one


def _entry(target: Target, one: Candidate, price: Price) -> dict[str, Any]:
    way: Mapping[str, Any] = {} if one.way is None else {"way": one.way.name, "words": one.way.words}
    return {"unit": one.kind, **asdict(one.pair), **way, **one.facts, "target": target.name, **asdict(price)}
