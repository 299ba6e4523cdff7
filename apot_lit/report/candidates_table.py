"""Candidates for a better recipe beside the recipe itself, by accuracy in validation."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import getitem
from typing import Any

from apot_lit.report.collect import Group
from apot_lit.report.statistics import Spread, seed_half_width, spread
from apot_lit.report.tables import Table, percent_spread
from apot_lit.runs.protocol import Difference, Row, protocol, row
from apot_lit.runs.text import processor

CANDIDATES = "candidates"
"""Directory of the result files."""

_Key = tuple[Row, int]
_Runs = Mapping[_Key, Mapping[str, Any]]


def candidates_section(results: Sequence[Mapping[str, Any]], recipe: Group) -> str:
    """The verdict, the table and what its numbers are of.

    A candidate wins if the mean over its pairs of validation accuracies, its own minus that of the recipe with the same
    network, precision and seed, is above half its 95 % interval by the scatter of the pairs (Student's t).

    Args:
        results: contents of result files of the recipe itself and of the recipe with one change.
        recipe: its tested runs, which say what its options are.
    """
    found: dict[tuple[Difference, ...], dict[_Key, Mapping[str, Any]]] = defaultdict(dict)
    for result in results:
        found[protocol(result["config"])][row(result["config"]), result["config"]["seed"]] = result
    usual = found.pop(recipe.protocol, {})
    kinds = sorted({kind for runs in [usual, *found.values()] for kind, _ in runs}, key=lambda kind: -kind.bit)
    rows = [[f"`{recipe.name}`", *_accuracies(usual, kinds), "-", "-"]]
    won = {}
    for options, runs in sorted(found.items()):
        name = f"`{_changed(recipe.protocol, options, next(iter(runs.values())))}`"
        gains = _gains(runs, usual)
        gained = spread(gains) if gains else None
        half = None if gained is None else seed_half_width(gained)
        rows.append([name, *_accuracies(runs, kinds), str(len(gains)), _described(gained, half)])
        if gained is not None and half is not None and gained.mean > half:
            won[name] = gained.mean
    names = [f"{kind.model}, {'float32' if kind.scheme == 'float' else f'{kind.bit} bits'}, %" for kind in kinds]
    headers = ["Recipe", *names, "Pairs", "Change, points"]
    machines = sorted({processor(one["hardware"]) for one in results})
    note = (
        f"Accuracies in validation, of the checkpoint best in it, mean ± standard deviation over seeds, on "
        f"{'; '.join(machines)}. Changes are paired over precisions and seeds, with half the 95 % interval by the "
        "scatter of the pairs."
    )
    verdict = (
        f"{max(won, key=lambda name: won[name])} wins." if won else "No candidate has won by more than its interval."
    )
    return "\n\n".join([verdict, Table("candidates", headers, rows).markdown(), note])


def _changed(usual: Sequence[Difference], options: Sequence[Difference], run: Mapping[str, Any]) -> str:
    """What a candidate sets, as one types it."""
    changed = {key: value for key, value in options if (key, value) not in usual}
    for key in dict(usual).keys() - dict(options).keys():  # left at the default, which is no difference
        changed[key] = reduce(getitem, key.split("."), run["config"])
    return " ".join(f"{key}={value}" for key, value in sorted(changed.items()))


def _gains(runs: _Runs, usual: _Runs) -> list[float]:
    return [runs[key]["val_accuracy"] - usual[key]["val_accuracy"] for key in sorted(runs.keys() & usual.keys())]


def _described(gained: Spread | None, half_width: float | None) -> str:
    if gained is None:
        return "-"
    return f"{100 * gained.mean:+z.2f}" + ("" if half_width is None else f" ± {100 * half_width:.2f}")


def _accuracies(runs: _Runs, kinds: Sequence[Row]) -> Iterator[str]:
    for kind in kinds:
        own = [result["val_accuracy"] for (other, _), result in runs.items() if other == kind]
        yield percent_spread(own) if own else "not run yet"
