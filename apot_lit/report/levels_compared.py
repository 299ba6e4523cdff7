"""The comparison of levels with many seeds, as docs/comparison.md designs it."""

from collections.abc import Iterator
from dataclasses import dataclass

from apot_lit.report.collect import Collection, Group
from apot_lit.report.pairs import Pairs, apot_and, difference, on_two_machines, p_cell
from apot_lit.report.statistics import SIGNIFICANT, Comparison, corrected_p_values, spread
from apot_lit.report.tables import Table
from apot_lit.runs.protocol import SCHEME_NAMES, Row
from apot_lit.runs.text import counted

MODEL, RECIPE = "resnet10", "fast"

Key = tuple[int, int, str]
"""Width, bits, and the scheme that APoT is compared with."""


@dataclass(frozen=True)
class Family:
    """Comparisons whose p-values are corrected together.

    Attributes:
        name: for a heading.
        widths: of the networks.
        bits: their bit widths.
        seeds: how many runs every row has in the end.
    """

    name: str
    widths: tuple[int, ...]
    bits: tuple[int, ...]
    seeds: int

    def comparisons(self) -> list[Key]:
        """All of them; at 2 bits the levels of PoT are those of APoT."""
        return [
            (width, bit, other)
            for other in ("uniform", "pot")
            for width in self.widths
            for bit in self.bits
            if (bit, other) != (2, "pot")
        ]


FAMILIES = (Family("wide", (16,), (5, 4, 3, 2), 20), Family("narrow", (8, 4), (4, 3, 2), 10))


@dataclass(frozen=True)
class Compared:
    """The comparisons of a family, as far as they have runs.

    Attributes:
        family: which.
        pairs: by comparison, the runs that share their seed; empty where there is none.
        differences: APoT minus the other, for those that have a pair.
        corrected: p-values by Holm's method, for those that have several.
    """

    family: Family
    pairs: dict[Key, Pairs]
    differences: dict[Key, Comparison]
    corrected: dict[Key, float]

    def significant(self) -> list[Key]:
        """The comparisons whose corrected p-value is below 0.05."""
        return [key for key in self.differences if self.corrected.get(key, 1.0) < SIGNIFICANT]

    def visible(self, key: Key) -> float | None:
        """The true difference that counts in about 80 of 100 repetitions, whatever the others are."""
        return self.differences[key].visible(SIGNIFICANT / len(self.pairs))


def levels_compared(collection: Collection) -> str:
    """The means of every row, and the comparisons with their corrected p-values, for each family."""
    groups = _groups(collection)
    parts = []
    for compared in compared_families(collection):
        family = compared.family
        means = Table("means", ["Width", "Bits", *SCHEME_NAMES.values()], list(_means(family, groups)))
        parts += [f"**The {family.name} family**", means.markdown(), *_comparisons(compared)]
    found = [group.runs.items() for group in groups.values() if group is not None]
    runs = [run for rows in found for row, own in rows if row.model == MODEL for run in own]
    cpus = sorted({run.machine for run in runs if run.machine is not None})
    return "\n\n".join([*parts, f"Trained on {'; '.join(cpus)}."])


def compared_families(collection: Collection) -> list[Compared]:
    """Both families, with the runs that there are."""
    groups = _groups(collection)
    found = []
    for family in FAMILIES:
        pairs: dict[Key, Pairs] = {}
        for width, bit, other in family.comparisons():
            group = groups[width]
            pairs[width, bit, other] = apot_and(other, group, [MODEL], bit) if group is not None else {}
        every = {key: difference(both) for key, both in pairs.items()}
        differences = {key: one for key, one in every.items() if one is not None}
        found.append(Compared(family, pairs, differences, corrected_p_values(differences, len(pairs))))
    return found


def _groups(collection: Collection) -> dict[int, Group | None]:
    return {width: _group(collection, width) for family in FAMILIES for width in family.widths}


def _group(collection: Collection, width: int) -> Group | None:
    main = collection.main(RECIPE)
    if main is None or width == 16:
        return main
    wanted = {*main.protocol, ("model.width", str(width))}
    return next((group for group in collection.groups if {*group.protocol} == wanted), None)


def _means(family: Family, groups: dict[int, Group | None]) -> Iterator[list[str]]:
    for width in family.widths:
        group = groups[width]
        for bit in family.bits:
            cells = []
            for scheme in SCHEME_NAMES:
                row = Row(MODEL, 32 if scheme == "float" else bit, scheme)
                runs = group.runs.get(row, [])[: family.seeds] if group is not None else []
                same = (bit, scheme) == (2, "pot")
                cells.append("as APoT" if same else _mean([run.test_accuracy for run in runs], family.seeds))
            yield [str(width), str(bit), *cells]


def _mean(accuracies: list[float], wanted: int) -> str:
    if not accuracies:
        return "not run yet"
    found = spread([100 * accuracy for accuracy in accuracies])
    value = f"{found.mean:.3f}" if found.std is None else f"{found.mean:.3f} ± {found.std:.2f}"
    return value if found.count == wanted else f"{value} ({found.count} of {wanted} seeds)"


def _comparisons(compared: Compared) -> Iterator[str]:
    rows = [_line(compared, key, one) for key, one in compared.differences.items()]
    headers = [
        "Width",
        "Bits",
        "APoT minus",
        "Seeds",
        "Points",
        "± by pairs",
        "± by images",
        "Visible",
        "p",
        "p (Holm)",
    ]
    if rows:
        yield Table("comparisons", headers, rows).markdown()
    yield _verdict(compared)


def _line(compared: Compared, key: Key, one: Comparison) -> list[str]:
    width, bit, other = key
    pairs, wanted, visible = compared.pairs[key], compared.family.seeds, compared.visible(key)
    apart = on_two_machines(pairs.values())
    seeds = str(len(pairs)) if len(pairs) == wanted else f"{len(pairs)} of {wanted}"
    return [
        *(str(width), str(bit), SCHEME_NAMES[other]),
        f"{seeds}, {apart} on two machines" if apart else seeds,
        f"{100 * one.difference:+z.3f}",
        *("-" if value is None else f"{100 * value:.3f}" for value in (one.pair_half_width, one.image_half_width)),
        "-" if visible is None else f"{100 * visible:.3f}",
        *(p_cell(value) for value in (one.p_value, compared.corrected.get(key))),
    ]


def _verdict(compared: Compared) -> str:
    family = compared.family
    complete = [one for one in compared.differences.values() if len(one.pairs) >= family.seeds]
    said = []
    for width, bit, other in compared.significant():
        verdict = "better" if compared.differences[width, bit, other].difference > 0 else "worse"
        said.append(f"at width {width} and {bit} bits APoT is {verdict} than {SCHEME_NAMES[other]}")
    state = f"{len(complete)} of {counted(len(compared.pairs), 'comparison')} have all their {family.seeds} seeds"
    said = said or ["no difference has a corrected p-value below 0.05"]
    return f"Of the {family.name} family {state}; {'; '.join(said)}."
