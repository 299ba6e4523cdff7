"""What was aimed at beside what the runs have."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple, get_args

from apot_lit.models.resnet import Stem
from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.tables import BITS, Table
from apot_lit.runs.protocol import Row
from apot_lit.runs.text import counted, network_name

_ANY = "any"


class Aim(NamedTuple):
    """A mean test accuracy by `best` with APoT levels that was aimed at.

    Attributes:
        name: the network for people.
        bit: bits of weights and activations.
        percent: the aim.
        accuracies: what the runs have, from 0 to 1; empty without any.
        by: the network that has them, empty without any or where `name` says it.
    """

    name: str
    bit: int
    percent: float
    accuracies: list[float]
    by: str = ""

    @property
    def missed_by(self) -> float | None:
        """Points by which the mean, of two decimals as in tables, is below the aim; None without a run."""
        if not self.accuracies:
            return None
        return self.percent - round(100 * mean(self.accuracies), 2)

    def cell(self) -> str:
        """What was reached, whether that is the aim, and of how many seeds it is the mean."""
        if self.missed_by is None:
            return f"not run ({self.percent:.2f})"
        verdict = "met" if self.missed_by <= 0 else "missed"
        seeds = counted(len(self.accuracies), "seed")
        return f"{100 * mean(self.accuracies):.2f} ({verdict}: {self.percent:.2f}), {seeds}{self.by and f', {self.by}'}"


def read_aims(collection: Collection, path: Path) -> list[Aim]:
    """What was aimed at, and what the runs have.

    Args:
        collection: the results.
        path: file of the aims: stem, model, bit, percent, parameters, seeds. Where the model is called any, it is the
            one with the highest mean in validation of those with at most so many parameters and at least so many seeds.
            Others have neither.
    """
    with path.open(newline="") as file:
        return [_aim(collection, line) for line in csv.DictReader(file)]


def _aim(collection: Collection, line: dict[str, str]) -> Aim:
    stem, model, bit, wanted = line["stem"], line["model"], int(line["bit"]), float(line["percent"])
    if model == _ANY:
        most, seeds = int(line["parameters"]), int(line["seeds"])
        found = [
            (by, runs)
            for by, runs in _networks(collection, bit)
            if len(runs) >= seeds and runs[0].result.get("parameters", most + 1) <= most
        ]
        by, runs = max(found, key=lambda one: mean(run.val_accuracy or 0.0 for run in one[1]), default=("", []))
        accuracies = [run.test_accuracy for run in runs]
        return Aim(f"any network of at most {most:,} parameters", bit, wanted, accuracies, by)
    group = best_with_stem(collection, stem)
    runs = [] if group is None else group.runs.get(Row(model, bit, "apot"), [])
    return Aim(network_name(model, stem), bit, wanted, [run.test_accuracy for run in runs])


def _networks(collection: Collection, bit: int) -> Iterator[tuple[str, list[Run]]]:
    """Every network by `best` with APoT levels of so many bits, whatever its stem."""
    for stem in get_args(Stem):
        group = best_with_stem(collection, stem)
        for (model, bits, scheme), runs in group.runs.items() if group else ():
            if (bits, scheme) == (bit, "apot"):
                yield network_name(model, stem), runs


def best_with_stem(collection: Collection, stem: str) -> Group | None:
    """The runs by `best` of networks with this stem and nothing else changed, None without any."""
    options = () if stem == "reference" else (("model.stem", stem),)
    main = collection.main("best")
    wanted = {*(main.protocol if main else ()), *options}
    return next((group for group in collection.groups if {*group.protocol} == wanted), None)


def aims_table(aims: Sequence[Aim]) -> str:
    """Mean test accuracy by `best` with APoT levels beside what was aimed at, by network and bits."""
    cells: dict[str, dict[int, str]] = {}
    for aim in aims:
        cells.setdefault(aim.name, {})[aim.bit] = aim.cell()
    rows = [[name, *(by_bit.get(bit, "-") for bit in BITS)] for name, by_bit in cells.items()]
    return Table("aims", ["APoT by `best`", *(f"{bit} bit" for bit in BITS)], rows).markdown()
