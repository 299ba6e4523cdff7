"""Networks whose layers have bits of their own, found by a search, beside those with one width for all layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apot_lit.evaluation.cost import measure_cost
from apot_lit.models.build import fresh_network
from apot_lit.models.foreign import image_options
from apot_lit.quant import quant_layers
from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.pairs import by_seed, described, difference
from apot_lit.report.statistics import SIGNIFICANT, Comparison, corrected_p_values
from apot_lit.report.tables import Table, percent_spread
from apot_lit.runs.protocol import SCHEME_NAMES, Row
from apot_lit.runs.text import counted, processor

MIXED, MIXED_FRONT = "mixed", "front.json"
"""Directory of the result files, and the file of the search in it."""
_OVERRIDES = "quant.overrides"
_SMALLER, _LARGER = -1, 1
_SIDES = {_SMALLER: "Minus the next smaller of one width", _LARGER: "Minus the next larger"}


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        name: for people.
        runs: of all seeds.
        size: bytes of the network.
        mean_bit: bits of a weight, in the mean over the layers between the first and the last.
        bit: the width of all layers, None where they differ.
    """

    name: str
    runs: Sequence[Run]
    size: float
    mean_bit: float
    bit: int | None


def without_mixed(collection: Collection) -> Collection:
    """The groups that are not of the directory `MIXED`, which have a section of their own."""
    groups = [group for group in collection.groups if not _is_mixed(group)]
    return Collection(groups, collection.left_out, collection.diverged)


def mixed_section(front: Mapping[str, Any], collection: Collection) -> str:
    """What the search found, and its chosen networks with several seeds beside those of one width.

    Args:
        front: what `search.py` wrote.
        collection: the results, those of the directory `MIXED` too.
    """
    parts = [_search_sentence(front), _front_table(front)]
    entries = _entries(front, collection)
    mixed = [entry for entry in entries if entry.bit is None]
    if mixed:
        parts += _compared(entries, mixed)
    return "\n\n".join(parts)


def _is_mixed(group: Group) -> bool:
    return all(run.path.parts[0] == MIXED for runs in group.runs.values() for run in runs)


def _search_sentence(front: Mapping[str, Any]) -> str:
    trials, settings = front["trials"], front["settings"]
    stopped = sum(trial["state"] == "stopped" for trial in trials)
    return (
        f"A search over {settings['model.name']} by the recipe {front['recipe']}, {SCHEME_NAMES[settings['levels']]} "
        f"levels of {', '.join(map(str, settings['search.bits']))} bits in each of "
        f"{counted(len(settings['search.groups']), 'group')} of layers: {counted(len(trials), 'trial')}, {stopped} of "
        f"them stopped early, {len(front['front'])} on the front; on {processor(front['hardware'])}, with other work "
        "beside it."
    )


def _front_table(front: Mapping[str, Any]) -> str:
    by_number = {trial["trial"]: trial for trial in front["trials"]}
    groups = front["settings"]["search.groups"]
    rows = []
    for number in front["front"]:
        trial = by_number[number]
        bits = " ".join(str(trial["params"][f"bit of {group}"]) for group in groups)
        mark = ", the knee" if number == front["chosen"] and front["search"]["max_cost"] is None else ""
        rows.append([f"{number}{mark}", f"{trial['cost']:,.0f}", bits, f"{100 * trial['accuracy']:.2f}"])
    return Table("front", ["Trial", "Bytes", "Bits of the layers, in order", "Validation, %"], rows).markdown()


def _entries(front: Mapping[str, Any], collection: Collection) -> list[Entry]:
    """The networks of the search and those of one width, by size."""
    settings, entries = front["settings"], []
    for group in collection.groups:
        overridden = dict(group.protocol).get(_OVERRIDES) is not None
        if group.recipe != front["recipe"] or not (_is_mixed(group) if overridden else group.main):
            continue
        for bit in [settings["quant.bit"]] if overridden else settings["search.bits"]:
            runs = group.runs.get(Row(settings["model.name"], bit, settings["levels"]), [])
            if runs:
                entries.append(_entry(runs, None if overridden else bit))
    return sorted(entries, key=lambda entry: (entry.size, entry.bit is None))


def _entry(runs: Sequence[Run], bit: int | None) -> Entry:
    config = runs[0].result["config"]
    network = fresh_network(config)
    channels, size, _ = image_options(config["data"])
    cost = measure_cost(network, (1, channels, size, size))
    inner = cost.layers[1:-1]
    weights = {name: layer.weight.numel() for name, layer in quant_layers(network)}
    mean_bit = sum(weights[one.name] * one.weight_bit for one in inner) / sum(weights[one.name] for one in inner)
    bits = " ".join(str(one.weight_bit) for one in inner)
    return Entry(bits if bit is None else f"all {bit}", runs, cost.quantized_bytes, mean_bit, bit)


def _compared(entries: Sequence[Entry], mixed: Sequence[Entry]) -> list[str]:
    rows, found = [], {_SMALLER: list[Comparison](), _LARGER: list[Comparison]()}
    for entry in entries:
        seeds = ", ".join(str(run.seed) for run in entry.runs) if entry.bit is None else str(len(entry.runs))
        cells = [entry.name, f"{entry.size:,.0f}", f"{entry.mean_bit:.2f}"]
        cells += [percent_spread([run.test_accuracy for run in entry.runs]), seeds]
        for side, comparisons in found.items():
            other = _beside(entry, entries, side)
            pairs = {} if other is None else by_seed(entry.name, entry.runs, other.runs)
            one = difference(pairs)
            if one is None or other is None:
                cells.append("-")
                continue
            share = 100 * abs(other.size / entry.size - 1)
            which = f"({other.name}: {share:.0f} % {'more' if side == _LARGER else 'fewer'} bytes)"
            cells.append(f"{described(one, pairs.values(), 'seed')} {which}")
            comparisons.append(one)
        rows.append(cells)
    machines = sorted({run.machine or "an unknown machine" for entry in mixed for run in entry.runs})
    verdict = (
        f"Of {counted(len(mixed), 'network')} of the front that were trained with several seeds, {_verdict(found)}, by "
        f"more than noise; {_corrected(found)}."
    )
    note = (
        "Accuracies are those of the 10,000 test images, mean ± standard deviation over seeds; mean bits are those of "
        "a weight between the first and the last layer. Differences are paired over the seeds that both have, with the "
        f"wider of two 95 % intervals. The mixed ones were trained on {'; '.join(machines)}."
    )
    headers = ["Bits of the layers", "Bytes", "Mean bits", "Test accuracy, %", "Seeds", *_SIDES.values()]
    return [verdict, Table("mixed", headers, rows).markdown(), note]


def _corrected(found: Mapping[int, Sequence[Comparison]]) -> str:
    """What is left when so many comparisons are corrected for their number."""
    every = [one for comparisons in found.values() for one in comparisons]
    left = sum(p < SIGNIFICANT for p in corrected_p_values(dict(enumerate(every)), len(every)).values())
    corrected = f"{counted(len(every), 'comparison')} corrected for their number (Holm)"
    return (
        f"with the p-values of {corrected}, {left or 'none'} of them {'is' if left < 2 else 'are'} below {SIGNIFICANT}"
    )


def _beside(entry: Entry, entries: Sequence[Entry], side: int) -> Entry | None:
    """The network of one width that is nearest in size to a mixed one, the next smaller or the next larger."""
    if entry.bit is not None:
        return None
    apart = [one for one in entries if one.bit is not None and side * (one.size - entry.size) >= 0]
    return min(apart, key=lambda one: abs(one.size - entry.size), default=None)


def _verdict(found: Mapping[int, Sequence[Comparison]]) -> str:
    parts = []
    for side, words in ((_SMALLER, "the next smaller network of one width"), (_LARGER, "the next larger one")):
        told = [one.difference for one in found[side] if one.more_than_noise]
        better, worse = sum(value > 0 for value in told), sum(value < 0 for value in told)
        parts.append(f"{better} {'is' if better == 1 else 'are'} better and {worse} worse than {words}")
    return " and ".join(parts)
