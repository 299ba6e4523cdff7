"""Texts of documents that hold numbers of result files: measurements of a start, trials, single runs."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apot_lit.report.tables import Table
from apot_lit.runs.contents import NotUsable, read_evaluation, read_result
from apot_lit.runs.text import percent

FIRST_RUN = "resnet18_5bit_apot_3epochs_seed0.json"
RELEASED = {split: f"reference/released_resnet10_4bit_{split}.json" for split in ("train", "test")}
WHOLE_SET = "reference/resnet10_4bit_apot_60k_seed0.json"


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
