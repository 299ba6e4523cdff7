"""The answer of the results in sentences: what APoT levels give, against uniform ones and against full precision."""

from collections.abc import Sequence
from statistics import mean

from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.report.collect import Collection, Group
from apot_lit.report.pairs import apot_minus_uniform, difference, in_points, sharing
from apot_lit.report.tables import COMPARISON_NOTE, build_summary
from apot_lit.runs.protocol import Row
from apot_lit.runs.text import listed

_MOST_TRUSTED = "best"


def answering(collection: Collection) -> Group:
    """The group that answers: the recipe `best`, or else the one with the most runs."""
    main = [group for group in collection.groups if group.main]
    return max(main or collection.groups, key=lambda group: (group.recipe == _MOST_TRUSTED, _runs(group)))


def answer_sentences(group: Group) -> list[str]:
    """Says in up to three sentences what the runs of a protocol show; those without runs are left out.

    The first compares APoT with uniform levels over all pairs of network and seed, the second with float32; the third
    counts wrong images, over the networks that have every kind.
    """
    bits = sorted({row.bit for row in group.runs if row.bit != FULL_PRECISION}, reverse=True)
    sentences = [_against_uniform(group, bits), _against_float(group, bits), _wrong_images(group, bits)]
    return [sentence for sentence in sentences if sentence is not None]


def best_summary(collection: Collection) -> str | None:
    """The answer by the recipe `best` as Markdown: sentences, the table, and what its numbers are; None without one."""
    group = answering(collection)
    table = build_summary(group)
    if group.recipe != _MOST_TRUSTED or table is None:
        return None
    return "\n\n".join([" ".join(answer_sentences(group)), table.markdown(), COMPARISON_NOTE])


def _against_uniform(group: Group, bits: Sequence[int]) -> str | None:
    compared = {bit: apot_minus_uniform(group, group.models, bit) for bit in bits}
    found = {bit: comparison for bit, comparison in compared.items() if comparison is not None}
    if not found:
        return None
    parts = [f"{in_points(one)} at {bit} bits" for bit, one in found.items()]
    told = [str(bit) for bit, one in found.items() if one.more_than_noise]
    verdict = f"more than noise at {listed(told)} bits" if told else "at no bit width more than noise"
    return f"By the recipe {group.name}, APoT minus uniform is {listed(parts)} (points of test accuracy): {verdict}."


def _against_float(group: Group, bits: Sequence[int]) -> str | None:
    pairs = {bit: sharing(group, group.models, (bit, "apot"), (FULL_PRECISION, "float")) for bit in bits}
    parts = [f"{in_points(one)} at {bit} bits" for bit in bits if (one := difference(pairs[bit])) is not None]
    return f"APoT minus float32 is {listed(parts)}." if parts else None


def _wrong_images(group: Group, bits: Sequence[int]) -> str | None:
    kinds = [(bit, scheme) for bit in bits for scheme in ("apot", "uniform")]
    models = [model for model in group.models if all(group.runs.get(Row(model, *kind)) for kind in kinds)]
    if not models or not bits:
        return None

    def wrong(bit: int, scheme: str) -> str:
        return f"{10_000 * mean(1 - _accuracy(group, Row(model, bit, scheme)) for model in models):.0f}"

    parts = [f"{wrong(bit, 'apot')} and {wrong(bit, 'uniform')} at {bit} bits" for bit in bits]
    end = ""
    if all(group.runs.get(Row(model, FULL_PRECISION, "float")) for model in models):
        end = f", float32 {wrong(FULL_PRECISION, 'float')}"
    return f"Of 10,000 test images APoT and uniform get {listed(parts)} wrong{end}."


def _accuracy(group: Group, row: Row) -> float:
    return mean(run.test_accuracy for run in group.runs[row])


def _runs(group: Group) -> int:
    return sum(map(len, group.runs.values()))
