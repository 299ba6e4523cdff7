"""What each part of the quantiser is worth: runs without it against those of the recipe, of the same seeds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.pairs import Pairs, by_seed, change_of, described, difference, p_cell
from apot_lit.report.statistics import corrected_p_values
from apot_lit.report.tables import Table, percent_spread
from apot_lit.runs.protocol import Row

MODEL, RECIPE, BITS = "resnet10", "fast", (2, 3)


@dataclass(frozen=True)
class Part:
    """One change of the recipe.

    Attributes:
        key: short, for the section that says its effect in the table of differences.
        name: what is changed.
        options: their values; ``{bit}`` is the row's bit width, None the default.
    """

    key: str
    name: str
    options: Mapping[str, str | None]

    @property
    def short(self) -> str:
        """The name without the options."""
        return self.name.partition(" (")[0]

    def protocol(self, usual: Mapping[str, str], bit: int) -> dict[str, str]:
        """The protocol of such runs, from that of the recipe."""
        changed = dict(usual)
        for key, value in self.options.items():
            if value is None:
                changed.pop(key, None)
            else:
                changed[key] = value.format(bit=bit)
        return changed


PARTS = (
    Part("acts", "activations stay float (`quant.act_bit=32`)", {"quant.act_bit": "32"}),
    Part("weights", "weights stay float (`quant.weight_bit=32`)", {"quant.weight_bit": "32"}),
    Part("weight_norm", "weights are not normalised (`quant.weight_norm=false`)", {"quant.weight_norm": "False"}),
    Part(
        "thresholds_stay",
        "thresholds stay where data put them (`optimizer.alpha_lr=0`)",
        {"optimizer.alpha_lr": "0.0"},
    ),
    Part(
        "thresholds_rate",
        "thresholds learn at the rate of the weights (`optimizer.alpha_lr=null`)",
        {"optimizer.alpha_lr": None},
    ),
    Part(
        "edges",
        "first and last layer at `bit` too (`quant.first_bit`, `quant.last_bit`)",
        {"quant.first_bit": "{bit}", "quant.last_bit": "{bit}"},
    ),
)
_EFFECTS = ("weight_norm", "thresholds_stay", "thresholds_rate", "edges")
"""Parts that the table of differences names."""


class Change(NamedTuple):
    """The runs of a part at a bit width, as far as there are any.

    Attributes:
        part: what is changed.
        bit: bits of weights and activations.
        runs: with the change.
        pairs: those of a seed with which nothing was changed too, beside the run of that seed.
    """

    part: Part
    bit: int
    runs: list[Run]
    pairs: Pairs

    def effect(self) -> str:
        """The change at its bit width; that it was not run yet where it was not."""
        bits = f"at {self.bit} bits"
        return f"{bits} {change_of(self.pairs)}" if self.pairs else f"{bits} not run yet"

    def described(self) -> str:
        """The change in points of test accuracy, with its interval and verdict."""
        return described(difference(self.pairs), self.pairs.values(), "seed")


def part_changes(collection: Collection) -> list[Change]:
    """Every part at every bit width, also those that were not run yet."""
    main = collection.main(RECIPE)
    if main is None:
        return []
    changes = []
    for bit in BITS:
        usual = _usual(main, bit)
        for part in PARTS:
            wanted = part.protocol(dict(main.protocol), bit)
            group = next((one for one in collection.groups if one is not main and dict(one.protocol) == wanted), None)
            runs = [] if group is None else group.runs.get(Row(MODEL, bit, "apot"), [])
            changes.append(Change(part, bit, runs, by_seed(MODEL, runs, usual)))
    return changes


def parts_table(collection: Collection) -> str | None:
    """One row for each part and bit width that has runs, None without any."""
    main = collection.main(RECIPE)
    rows = [] if main is None else list(_rows(main, part_changes(collection)))
    if not rows:
        return None
    headers = ["What is changed", "Bits", "Accuracy", "Seeds", "Change, points", "p (Holm)"]
    return Table("parts", headers, rows).markdown()


def effects(collection: Collection) -> dict[str, str]:
    """For each part that the table of differences names, a section ``effect_<key>``: what the change does."""
    changes = part_changes(collection)
    found = {}
    for part in PARTS:
        own = [change for change in changes if change.part is part]
        if part.key in _EFFECTS and own:
            said = (
                ", ".join(change.effect() for change in own) if any(change.pairs for change in own) else "not run yet"
            )
            found[f"effect_{part.key}"] = f"{part.short}: {said}"
    return found


def _usual(main: Group, bit: int) -> list[Run]:
    return main.runs.get(Row(MODEL, bit, "apot"), [])


def _rows(main: Group, changes: list[Change]) -> Iterator[list[str]]:
    compared = {(change.part.key, change.bit): difference(change.pairs) for change in changes}
    corrected = corrected_p_values({key: one for key, one in compared.items() if one is not None})
    for bit in BITS:
        usual = _usual(main, bit)
        if usual:
            yield ["nothing", str(bit), _accuracy(usual), str(len(usual)), "-", "-"]
        for change in changes:
            if change.bit == bit and change.pairs:
                yield [
                    change.part.name,
                    str(bit),
                    _accuracy(change.runs),
                    str(len(change.pairs)),
                    change.described(),
                    p_cell(corrected.get((change.part.key, bit))),
                ]


def _accuracy(runs: list[Run]) -> str:
    return percent_spread([run.test_accuracy for run in runs])
