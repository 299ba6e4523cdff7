"""Evaluation of a checkpoint, or of a network just trained, on one split."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from apot_lit.data.datamodule import build_datamodule
from apot_lit.data.sources import class_names, placed
from apot_lit.evaluation.arithmetic import (
    IntegerClassifier,
    integer_facts,
    integer_text,
    network_of_integers,
    operations_text,
)
from apot_lit.evaluation.confusion import confusion_figure
from apot_lit.evaluation.cost import cost_table, measure_cost
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.quant import clipping_thresholds
from apot_lit.runs.provenance import commit, hardware, versions
from apot_lit.runs.result import write_json
from apot_lit.runs.text import percent, text_table
from apot_lit.stored.trained import read_any_trained
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.testing import evaluate_split
from apot_lit.training.trainer import build_trainer, prepare

INTEGER = "integer"
EVALUATION_FILE = "evaluation.json"
CONFUSION_PICTURE = "confusion.png"


def evaluate(config: dict[str, Any]) -> dict[str, Any]:
    """Evaluates a checkpoint, with model and data rebuilt from what it carries.

    Writes ``evaluation.json`` and a picture of the confusion matrix to the output directory.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.EvaluateConfig`.

    Returns:
        The content of ``evaluation.json``.

    Raises:
        UserError: for a checkpoint that cannot be evaluated, a split that has no images.
    """
    digits = placed({}, config)["data_dir"]
    checkpoint = read_any_trained(config["ckpt_path"], config["model"], config["quant"], digits)
    data = {**placed(checkpoint.config["data"], config), "eval_batch_size": config["batch_size"]}
    trained = {**checkpoint.config, "data": data}
    datamodule = build_datamodule(trained)
    integers = None
    if config["arithmetic"] == INTEGER:
        network = fold_batch_norms(network_of_integers(checkpoint, data, config["export"]["stream_bit"]))
        integers = IntegerClassifier(network, checkpoint.network)
    classifier = QuantClassifier(trained, network=checkpoint.network)
    options = datamodule.options
    shape = (1, options.channels, options.size, options.size)
    cost = measure_cost(classifier.network, shape)  # early: nothing is compiled yet
    prepare(classifier, config["trainer"])
    thresholds = clipping_thresholds(classifier.network)
    if integers is not None:
        classifier.network = integers
    trainer = build_trainer(config["trainer"], logger=False, enable_progress_bar=False, enable_checkpointing=False)
    scores = evaluate_split(trainer, classifier, datamodule, config["split"])
    facts = None if integers is None else integer_facts(integers, _summed(trainer))
    if not trainer.is_global_zero:
        return {}
    evaluation = {
        "ckpt_path": config["ckpt_path"],
        "split": config["split"],
        **scores,
        "arithmetic": config["arithmetic"],
        **({} if facts is None else {"integer": facts}),
        "clipping_thresholds": thresholds,
        "cost": cost.to_dict(),
        "config": trained,
        "versions": versions(),
        "commit": commit(),
        "hardware": hardware(trainer.strategy.root_device),
    }
    output_dir, names = Path(config["paths"]["output_dir"]), class_names(options)
    write_json(output_dir / EVALUATION_FILE, evaluation, config["paths"]["root_dir"])
    confusion_figure(scores["confusion"], names).savefig(output_dir / CONFUSION_PICTURE, dpi=150)
    _print_evaluation(evaluation, names)
    if facts is not None:
        print(integer_text(facts, evaluation["images"]), operations_text(network), sep="\n\n", end="\n\n")
    print(cost_table(cost), end="\n\n")
    print("written:", output_dir / EVALUATION_FILE, output_dir / CONFUSION_PICTURE, sep="\n  ")
    return evaluation


def _summed(trainer: pl.Trainer) -> Callable[[int], int]:
    """Adds up a count over the processes that share the images."""
    return lambda count: int(trainer.strategy.reduce(torch.tensor(float(count)), reduce_op="sum"))


def _print_evaluation(evaluation: dict[str, Any], names: Sequence[str]) -> None:
    right = sum(row[label] for label, row in enumerate(evaluation["confusion"]))
    print(
        f"{evaluation['split']} accuracy {percent(evaluation['accuracy'])} "
        f"({right} of {evaluation['images']} images), loss {evaluation['loss']:.4f}\n"
    )
    classes = [[name, percent(value)] for name, value in zip(names, evaluation["class_accuracy"], strict=True)]
    print(text_table(classes, ["class", "accuracy"]), end="\n\n")
    thresholds = [
        [layer, *(f"{kinds[kind]:.4f}" if kind in kinds else "-" for kind in ("weight", "act"))]
        for layer, kinds in evaluation["clipping_thresholds"].items()
    ]
    if thresholds:
        print(text_table(thresholds, ["layer", "alpha weight", "alpha act"]), end="\n\n")
