"""Texts of documents that hold numbers of result files: what was aimed at, trials, single runs."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from apot_lit.report.collect import Collection, Group
from apot_lit.report.tables import BITS, Table
from apot_lit.runs.contents import NotUsable, read_evaluation, read_result
from apot_lit.runs.protocol import Row
from apot_lit.runs.text import counted, percent

FIRST_RUN = "resnet18_5bit_apot_3epochs_seed0.json"
RELEASED = {split: f"reference/released_resnet10_4bit_{split}.json" for split in ("train", "test")}
WHOLE_SET = "reference/resnet10_4bit_apot_60k_seed0.json"


class Aim(NamedTuple):
    """A mean test accuracy by `best` with APoT levels that was aimed at.

    Attributes:
        stem: of the network.
        model: its name.
        bit: bits of weights and activations.
        percent: the aim.
        accuracies: what the runs have, from 0 to 1; empty without any.
    """

    stem: str
    model: str
    bit: int
    percent: float
    accuracies: list[float]

    @property
    def missed_by(self) -> float | None:
        """Points by which the mean, of two decimals as in tables, is below the aim; None without a run."""
        if not self.accuracies:
            return None
        return self.percent - round(100 * mean(self.accuracies), 2)

    @property
    def name(self) -> str:
        """The network for people."""
        return self.model if self.stem == "reference" else f"{self.model}, {self.stem} stem"

    def cell(self) -> str:
        """What was reached, whether that is the aim, and of how many seeds it is the mean."""
        if self.missed_by is None:
            return f"not run ({self.percent:.2f})"
        verdict = "met" if self.missed_by <= 0 else "missed"
        seeds = counted(len(self.accuracies), "seed")
        return f"{100 * mean(self.accuracies):.2f} ({verdict}: {self.percent:.2f}), {seeds}"


def read_aims(collection: Collection, path: Path) -> list[Aim]:
    """What was aimed at, and what the runs have.

    Args:
        collection: the results.
        path: file of the aims: stem, model, bit, percent.
    """
    aims = []
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            stem, model, bit = line["stem"], line["model"], int(line["bit"])
            group = best_with_stem(collection, stem)
            runs = [] if group is None else group.runs.get(Row(model, bit, "apot"), [])
            aims.append(Aim(stem, model, bit, float(line["percent"]), [run.test_accuracy for run in runs]))
    return aims


def best_with_stem(collection: Collection, stem: str) -> Group | None:
    """The runs by `best` of networks with this stem and nothing else changed, None without any."""
    options = () if stem == "reference" else (("model.stem", stem),)
    main = next((group for group in collection.groups if group.recipe == "best" and group.main), None)
    wanted = {*(main.protocol if main else ()), *options}
    return next((group for group in collection.groups if {*group.protocol} == wanted), None)


def aims_table(aims: Sequence[Aim]) -> str:
    """Mean test accuracy by `best` with APoT levels beside what was aimed at, by network and bits."""
    cells: dict[str, dict[int, str]] = {}
    for aim in aims:
        cells.setdefault(aim.name, {})[aim.bit] = aim.cell()
    rows = [[name, *(by_bit.get(bit, "-") for bit in BITS)] for name, by_bit in cells.items()]
    return Table("aims", ["APoT by `best`", *(f"{bit} bit" for bit in BITS)], rows).markdown()


def start_table(path: Path) -> str:
    """What a person waits for and reads, before and after it was looked at.

    Args:
        path: file of the measurements: what, before, after.
    """
    with path.open(newline="") as file:
        rows = [[line["what"], line["before"], line["after"]] for line in csv.DictReader(file)]
    return Table("start", ["Measured", "Before", "After"], rows).markdown()


def trials_table(path: Path) -> str:
    """The single runs by which choices of the recipe were made.

    Args:
        path: file of the trials.
    """
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    rows = [
        [line["trial"], line["model"], line["bit"], line["epochs"], line["val_percent"], line["test_percent"]]
        for line in lines
    ]
    headers = ["Trial", "Model", "Bits", "Epochs", "Validation, %", "Test, %"]
    machines = sorted({f"{line['cpu']}, torch {line['torch']}" for line in lines})
    seeds = ", ".join(sorted({line["seed"] for line in lines}))
    return f"{Table('trials', headers, rows).markdown()}\n\nOne run each, seed {seeds}, on {'; '.join(machines)}."


def first_run_sentence(path: Path) -> str:
    """How long the README's first command takes, and what it gives."""
    result = _result(path)
    hardware = result["hardware"]
    return (
        f"The {result['epochs']} epochs took {result['wall_seconds']:.0f} s on {hardware['threads']} threads of an "
        f"{hardware['cpu']}; the network then has {percent(result['test_accuracy'])} test accuracy (one seed)."
    )


def released_sentences(results_dir: Path) -> str:
    """What the reference's released checkpoint gives here, and what its recipe gives on all 60,000 images."""
    counts = {split: _right(read_evaluation(results_dir / file)) for split, file in RELEASED.items()}
    whole = _result(results_dir / WHOLE_SET)
    return (
        f"The released 4-bit ResNet-10 classifies {counts['train']} of the training images and {counts['test']} of the "
        f"test images correctly. The published recipe on all 60,000 images gives an accuracy of "
        f"{percent(whole['train_accuracy'])} on the training images, where 99.64 % were published, and of "
        f"{percent(whole['test_accuracy'])} on the test images (last of {whole['epochs']} epochs, one seed)."
    )


def _result(path: Path) -> dict[str, Any]:
    result = read_result(path)
    if result is None:
        raise NotUsable("damaged (not a result)")
    return result


def _right(evaluation: Mapping[str, Any]) -> str:
    right = sum(row[label] for label, row in enumerate(evaluation["confusion"]))
    return f"{right:,} of {evaluation['images']:,} ({100 * right / evaluation['images']:.3f} %)"
