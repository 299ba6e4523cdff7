"""What each part of the quantiser is worth: runs without it against those of the recipe, of the same seeds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.pairs import Pairs, described, difference
from apot_lit.report.tables import Table, percent_spread
from apot_lit.runs.protocol import Row

MODEL, RECIPE, BITS = "resnet10", "fast", (2, 3)


@dataclass(frozen=True)
class Part:
    """One change of the recipe.

    Attributes:
        name: what is changed.
        options: their values; ``{bit}`` is the row's bit width, None the default.
    """

    name: str
    options: Mapping[str, str | None]

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
    Part("activations stay float (`quant.act_bit=32`)", {"quant.act_bit": "32"}),
    Part("weights stay float (`quant.weight_bit=32`)", {"quant.weight_bit": "32"}),
    Part("weights are not normalised (`quant.weight_norm=false`)", {"quant.weight_norm": "False"}),
    Part("thresholds stay where data put them (`optimizer.alpha_lr=0`)", {"optimizer.alpha_lr": "0.0"}),
    Part("thresholds learn at the rate of the weights (`optimizer.alpha_lr=null`)", {"optimizer.alpha_lr": None}),
    Part(
        "first and last layer at `bit` too (`quant.first_bit`, `quant.last_bit`)",
        {"quant.first_bit": "{bit}", "quant.last_bit": "{bit}"},
    ),
)


def parts_table(collection: Collection) -> str | None:
    """One row for each part and bit width that has runs, None without any."""
    main = next((group for group in collection.groups if group.recipe == RECIPE and group.main), None)
    rows = [] if main is None else list(_rows(collection, main))
    if not rows:
        return None
    headers = ["What is changed", "Bits", "Accuracy", "Seeds", "Change, points"]
    return Table("parts", headers, rows).markdown()


def _rows(collection: Collection, main: Group) -> Iterator[list[str]]:
    for bit in BITS:
        usual = {run.seed: run for run in main.runs.get(Row(MODEL, bit, "apot"), [])}
        if usual:
            yield ["nothing", str(bit), _accuracy(list(usual.values())), str(len(usual)), "-"]
        for part in PARTS:
            wanted = part.protocol(dict(main.protocol), bit)
            group = next((one for one in collection.groups if one is not main and dict(one.protocol) == wanted), None)
            runs = [] if group is None else group.runs.get(Row(MODEL, bit, "apot"), [])
            pairs: Pairs = {(MODEL, run.seed): (run, usual[run.seed]) for run in runs if run.seed in usual}
            if pairs:
                change = described(difference(pairs), pairs.values(), "seed")
                yield [part.name, str(bit), _accuracy(runs), str(len(pairs)), change]


def _accuracy(runs: list[Run]) -> str:
    return percent_spread([run.test_accuracy for run in runs])
