"""What is known now: what all results together say, in a list of plain sentences."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.report.aims import Aim, best_with_stem
from apot_lit.report.collect import Collection, Group
from apot_lit.report.levels_compared import MODEL, RECIPE, compared_families
from apot_lit.report.levels_sentence import levels_sentence
from apot_lit.report.pairs import apot_and_uniform, by_seed, change_of, sharing
from apot_lit.report.parts import part_changes
from apot_lit.report.unit_prices import GATES, Prices
from apot_lit.report.verdicts import verdicts
from apot_lit.runs.protocol import SCHEME_NAMES, Row
from apot_lit.runs.text import counted, listed

_NOTE = (
    "Differences are in points of test accuracy, with half the wider of two 95 % intervals: that of the pairs of runs "
    "that share network and seed, and that of the test images. Pairs of one seed at several bit widths or of several "
    "networks are taken as independent. Differences are corrected for the number of comparisons by Holm's method where "
    "that is said."
)
_SMALL = "small"
_TRAINED = (5, 4, 3, 2)


def findings_list(collection: Collection, other: Collection, aims: Sequence[Aim], prices: Prices | None) -> str:
    """Numbered sentences as Markdown; what was not run yet is said to be so.

    Args:
        collection: results on MNIST.
        other: results on Fashion-MNIST, perhaps without any group.
        aims: what was aimed at, empty without such a file.
        prices: of arithmetic units, None without any.
    """
    wide, narrow = compared_families(collection)
    sentences = [
        levels_sentence([wide], "uniform"),
        levels_sentence([wide, narrow], "pot"),
        levels_sentence([narrow], "uniform"),
        _against_float(collection),
        _parts(collection),
        _fashion(other),
        _small_stem(collection),
        _depth(collection),
        _hardware(prices),
        _aims(aims),
    ]
    numbered = [f"{number}. {sentence}" for number, sentence in enumerate(sentences, start=1)]
    return "\n".join([*numbered, "", f"{_NOTE} {_one_seed(collection)}"])


def _bits(group: Group) -> list[int]:
    return sorted({row.bit for row in group.runs} - {FULL_PRECISION}, reverse=True)


def _against_float(collection: Collection) -> str:
    parts: list[str] = []
    for recipe in ("best", "fast", "reference"):
        group = collection.main(recipe)
        if group is None:
            continue
        # By `fast` many seeds of one network are there, which would outweigh the others.
        models = [MODEL] if recipe == RECIPE else group.models
        found = []
        for bit in _bits(group):
            for scheme in ("apot", "uniform"):
                pairs = sharing(group, models, (bit, scheme), (FULL_PRECISION, "float"))
                if len(pairs) > 1:
                    found.append((f"{SCHEME_NAMES[scheme]} {bit} bits", pairs))
        if found:
            by = "By" if parts else "by"  # each recipe ends its sentence
            own = f" with {MODEL}" if recipe == RECIPE else ""
            parts.append(f"{by} the recipe `{recipe}`{own} {verdicts(found)}")
    if not parts:
        return "What quantisation costs against float32 is not known yet: there are not several runs that share a seed."
    return f"What quantisation costs, levels minus float32 over networks and seeds, {'. '.join(parts)}."


def _parts(collection: Collection) -> str:
    changes = part_changes(collection)
    run = [change for change in changes if change.pairs]
    if not run:
        return "What the parts of the quantiser are worth is not known yet: there are no runs without one of them."
    said = verdicts([(f"{change.part.short}, {change.bit} bits", change.pairs) for change in run])
    left = len(changes) - len(run)
    rest = f" {left} of {len(changes)} such changes were not run yet." if left else ""
    return f"What changes of the quantiser give ResNet-10 with APoT levels by the recipe `fast` {said}.{rest}"


def _fashion(other: Collection) -> str:
    parts = []
    for group in other.groups:
        for model in group.models if group.main else ():
            pairs = {bit: apot_and_uniform(group, [model], bit) for bit in _bits(group)}
            found = [(f"{bit} bits", both) for bit, both in pairs.items() if both]
            if found:
                parts.append(f"{model} by the recipe `{group.recipe}` {verdicts(found)}")
    if not parts:
        return "There are no results on Fashion-MNIST yet that compare levels."
    return f"APoT minus uniform on Fashion-MNIST ([results](fashion_mnist.md)), {'. '.join(parts)}."


def _small_stem(collection: Collection) -> str:
    usual, small = best_with_stem(collection, "reference"), best_with_stem(collection, _SMALL)
    changes = []
    if usual is not None and small is not None:
        for row in sorted(small.runs, key=lambda one: (one.model, -one.bit)):
            pairs = by_seed(_kind(row), small.runs[row], usual.runs.get(row, []))
            if pairs:
                changes.append((_kind(row), pairs))
    if not changes:
        return "What a stem that keeps all pixels gives is not known yet."
    every = reduce(or_, (pairs for _, pairs in changes))
    return (
        "What the small stem (`model.stem=small`) gives, minus the published one with the same network, levels and "
        f"seed, by the recipe `best`: {change_of(every)} over all; of single rows {verdicts(changes)}."
    )


def _depth(collection: Collection) -> str:
    group = best_with_stem(collection, "reference")
    rows = {} if group is None else group.runs
    changes = []
    for model in () if group is None else group.models:
        own = [row for row in rows if row.model == model != MODEL]
        every = [by_seed(_kind(row), rows[row], rows.get(row._replace(model=MODEL), [])) for row in own]
        if any(every):
            changes.append((model, reduce(or_, every)))
    if not changes:
        return "What deeper networks give is not known yet."
    return f"What deeper networks give over levels, bits and seeds, minus {MODEL}, by `best` {verdicts(changes)}."


def _hardware(prices: Prices | None) -> str:
    parts = []
    for acts, name in (("apot", "of APoT levels"), ("uniform", "of APoT weights and uniform activations")):
        ratios = []
        for bit in [] if prices is None else prices.bits(GATES):
            own, usual = (_area(prices, *schemes, bit) for schemes in (("apot", acts), ("uniform", "uniform")))
            if own is not None and usual is not None and bit in _TRAINED:
                ratios.append(f"{100 * (own / usual - 1):+.0f} % at {bit} bits")
        if ratios:
            parts.append(f"one {name} takes {listed(ratios)}")
    if not parts:
        return "What levels cost in hardware was not measured."
    return (
        "Against a multiply-accumulate of uniform levels of as many bits, both written in the smallest way, "
        f"{'; '.join(parts)} (transistors)."
    )


def _area(prices: Prices | None, weights: str, acts: str, bit: int) -> float | None:
    entry = None if prices is None else prices.cheapest("mac", GATES, (weights, acts), bit)
    return None if entry is None else float(entry["area"])


def _aims(aims: Sequence[Aim]) -> str:
    if not aims:
        return "Nothing was aimed at."
    missed = [aim for aim in aims if aim.missed_by is not None and aim.missed_by > 0]
    waiting = [f"{aim.name} at {aim.bit} bits" for aim in aims if aim.missed_by is None]
    met = len(aims) - len(missed) - len(waiting)
    said = []
    for name in dict.fromkeys(aim.name for aim in missed):
        own = [aim for aim in missed if aim.name == name]
        points = listed([f"{aim.missed_by:.2f}" for aim in own])
        said.append(f"{name} by {points} points at {listed([str(aim.bit) for aim in own])} bits")
    parts = [f"missed are {'; '.join(said)}"] if said else []
    parts += [f"not run are {listed(waiting)}"] if waiting else []
    return f"Of {counted(len(aims), 'aim')} {met} are met ([below](#what-was-aimed-at)){'; '.join(['', *parts])}."


def _one_seed(collection: Collection) -> str:
    parts = []
    for group in collection.groups:
        if not group.main and dict(group.protocol).get("model.stem") != _SMALL:
            continue
        own = [part for model in group.models for part in _single(group, model)]
        if own:
            parts.append(f"{group.name}: {listed(own)}")
    if not parts:
        return "Every row of the recipes themselves and of `best` with the small stem has several seeds."
    return (
        "Of the recipes themselves and of `best` with the small stem, one seed alone, which is no verdict, have "
        f"{'; '.join(parts)}."
    )


def _single(group: Group, model: str) -> list[str]:
    """What of a network has one seed: all, bit widths of either kind of levels, or single rows."""
    rows = [row for row in group.runs if row.model == model]
    several = [row for row in rows if len(group.runs[row]) > 1]
    if not several:
        return [model]
    bits = sorted({row.bit for row in rows} - {row.bit for row in several}, reverse=True)
    quantised = [str(bit) for bit in bits if bit != FULL_PRECISION]
    parts = [f"{model} at {listed(quantised)} bits"] if quantised else []
    parts += [f"{model} in float32"] if FULL_PRECISION in bits else []
    return parts + [_kind(row) for row in sorted({*rows} - {*several}) if row.bit not in bits]


def _kind(row: Row) -> str:
    bits = "float32" if row.bit == FULL_PRECISION else f"{SCHEME_NAMES[row.scheme]} {row.bit} bits"
    return f"{row.model} {bits}"
