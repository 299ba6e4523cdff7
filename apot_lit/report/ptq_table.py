"""Networks that were quantised without training, beside those that were trained."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.report.collect import Group
from apot_lit.report.tables import Table, percent_spread
from apot_lit.runs.protocol import SCHEME_NAMES, Row, row
from apot_lit.runs.text import counted, processor

_HEADERS = ["Network", "Bits", "Levels", "Seeds", "Nearest level", "Learned rounding", "Trained"]
_ROUNDINGS = ("nearest", "learned")

_Found = Mapping[Row, Mapping[str, Sequence[Mapping[str, Any]]]]


def ptq_section(results: Sequence[Mapping[str, Any]], trained: Group) -> str:
    """The table, its summary by bits, and what its numbers are of.

    Args:
        results: contents of result files of networks that were not trained, in full precision and quantised.
        trained: the runs to compare with.
    """
    found: dict[Row, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        found[row(result["config"])][result["config"]["quant"]["rounding"]].append(result)
    order = sorted(found, key=lambda one: (int(one.model.removeprefix("resnet")), -one.bit, one.scheme))
    rows = []
    for network in order:
        cells = [_cell(found[network].get(rounding, [])) for rounding in _ROUNDINGS]
        bits = "32" if network.bit == FULL_PRECISION else str(network.bit)
        seeds = ", ".join(map(str, sorted({one["config"]["seed"] for one in found[network]["nearest"]})))
        compared = trained.runs.get(network, [])
        seen = f"{percent_spread([run.test_accuracy for run in compared])} ({len(compared)})" if compared else "-"
        rows.append([network.model, bits, SCHEME_NAMES[network.scheme], seeds, *cells, seen])
    return "\n\n".join([_sentence(found, trained), Table("ptq", _HEADERS, rows).markdown(), _note(results)])


def _cell(results: Sequence[Mapping[str, Any]]) -> str:
    return percent_spread([result["test_accuracy"] for result in results]) if results else "-"


def _sentence(found: _Found, trained: Group) -> str:
    """What is lost against training, in the mean over the networks and levels that have all."""
    parts = []
    for bit in sorted({one.bit for one in found} - {FULL_PRECISION}, reverse=True):
        rows = [one for one in found if one.bit == bit and one in trained.runs and set(_ROUNDINGS) <= found[one].keys()]
        if rows:
            usual = mean(mean(run.test_accuracy for run in trained.runs[one]) for one in rows)
            lost = [mean(_accuracy(found[one][rounding]) for one in rows) - usual for rounding in _ROUNDINGS]
            parts.append(f"{100 * lost[0]:+z.2f} and {100 * lost[1]:+z.2f} at {counted(bit, 'bit')}")
    return (
        "Without training minus trained, in points of test accuracy, with the nearest levels and with learned "
        f"rounding: {', '.join(parts)} (means over networks and levels)."
    )


def _accuracy(results: Sequence[Mapping[str, Any]]) -> float:
    return mean(result["test_accuracy"] for result in results)


def _note(results: Sequence[Mapping[str, Any]]) -> str:
    quantised = [one for one in results if one["config"]["quant"]["bit"] != FULL_PRECISION]
    images = sorted({one["config"]["quant"]["calibrate"] * one["config"]["data"]["batch_size"] for one in quantised})
    nearest, learned = (
        max(one["wall_seconds"] for one in quantised if one["config"]["quant"]["rounding"] == rounding)
        for rounding in _ROUNDINGS
    )
    machines = sorted({processor(one["hardware"]) for one in results})
    return (
        "Accuracy on the 10,000 test images in percent, mean ± standard deviation over seeds; in brackets the number "
        f"of seeds of the trained ones, of the recipe best. Fitted to {' or '.join(f'{one:,}' for one in images)} "
        f"training images in at most {nearest:.0f} s with the nearest levels and {learned:.0f} s with learned "
        f"rounding, on {'; '.join(machines)}, with other work beside it."
    )
