"""Evaluation of a checkpoint, or of an export, on one split."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from apot_lit.data.datamodule import build_datamodule
from apot_lit.data.sources import class_names, placed
from apot_lit.errors import UserError
from apot_lit.evaluation.arithmetic import (
    IntegerClassifier,
    integer_facts,
    integer_text,
    network_of_integers,
    operations_text,
)
from apot_lit.evaluation.cost import cost_table, measure_cost
from apot_lit.evaluation.engines import INTEGER, TORCH, Engine, EngineClassifier, OpenEngine, arithmetic_of, export_path
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.quant import clipping_thresholds
from apot_lit.runs.confusion import confusion_figure
from apot_lit.runs.provenance import commit, hardware, versions
from apot_lit.runs.result import write_json
from apot_lit.runs.text import counted, percent, text_table
from apot_lit.stored.trained import read_any_trained
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.testing import evaluate_split
from apot_lit.training.trainer import build_trainer, prepare

EVALUATION_FILE = "evaluation.json"
CONFUSION_PICTURE = "confusion.png"


def evaluate(config: Mapping[str, Any], open_engine: OpenEngine) -> dict[str, Any]:
    """Evaluates a checkpoint, with model and data rebuilt from what it carries, or an export.

    Writes ``evaluation.json`` and a picture of the confusion matrix to the output directory. An export holds neither
    the network in floats nor its training, and nothing is said of these.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.EvaluateConfig`.
        open_engine: opens every engine but torch.

    Returns:
        The content of ``evaluation.json``.

    Raises:
        UserError: for a checkpoint that cannot be evaluated, a split that has no images.
    """
    arithmetic, export = arithmetic_of(config), export_path(config)
    if export is not None:
        return _evaluate_export(config, open_engine(export, config["engine"], config["trainer"]["threads"]))
    digits = placed({}, config)["data_dir"]
    checkpoint = read_any_trained(config["ckpt_path"], config["model"], config["quant"], digits)
    data = {**placed(checkpoint.config["data"], config), "eval_batch_size": config["batch_size"]}
    trained = {**checkpoint.config, "data": data}
    datamodule = build_datamodule(trained)
    integers, engine = None, None
    if arithmetic == INTEGER:
        network = network_of_integers(checkpoint, data, config["export"]["stream_bit"])
        if config["engine"] != TORCH:
            engine = open_engine(network, config["engine"], config["trainer"]["threads"])
        integers = IntegerClassifier(fold_batch_norms(network), checkpoint.network, engine)
    classifier = QuantClassifier(trained, network=checkpoint.network)
    options = datamodule.options
    shape = (1, options.channels, options.size, options.size)
    cost = measure_cost(classifier.network, shape)  # early: nothing is compiled yet
    prepare(classifier, config["trainer"])
    thresholds = clipping_thresholds(classifier.network)
    if integers is not None:
        classifier.network = integers
    trainer = _trainer(config)
    scores = evaluate_split(trainer, classifier, datamodule, config["split"])
    facts = None if integers is None else integer_facts(integers, _summed(trainer))
    if not trainer.is_global_zero:
        return {}
    evaluation = {
        **_opening(config, scores, engine),
        **({} if facts is None else {"integer": facts}),
        "clipping_thresholds": thresholds,
        "cost": cost.to_dict(),
        "config": trained,
    }
    texts = [_thresholds_text(thresholds)] if thresholds else []
    if integers is not None and facts is not None:
        texts += [integer_text(facts, scores["images"]), operations_text(integers.integers)]
    return _written(config, trainer, evaluation, class_names(options), [*texts, cost_table(cost)])


def _evaluate_export(config: Mapping[str, Any], engine: Engine) -> dict[str, Any]:
    trained = {"seed": 0, "data": {**placed({}, config), "eval_batch_size": config["batch_size"]}}
    datamodule = build_datamodule(trained)
    options = datamodule.options
    classes = engine(np.zeros((1, options.channels, options.size, options.size), np.uint8)).shape[1]
    if classes != options.classes:
        raise UserError(f"ckpt_path={config['ckpt_path']}: has {classes} classes; the images have {options.classes}")
    classifier = QuantClassifier(trained, network=EngineClassifier(engine))
    prepare(classifier, config["trainer"])
    trainer = _trainer(config)
    scores = evaluate_split(trainer, classifier, datamodule, config["split"])
    if not trainer.is_global_zero:
        return {}
    return _written(config, trainer, _opening(config, scores, engine), class_names(options), [])


def _trainer(config: Mapping[str, Any]) -> pl.Trainer:
    return build_trainer(config["trainer"], logger=False, enable_progress_bar=False, enable_checkpointing=False)


def _summed(trainer: pl.Trainer) -> Callable[[int], int]:
    """Adds up a count over the processes that share the images."""
    return lambda count: int(trainer.strategy.reduce(torch.tensor(float(count)), reduce_op="sum"))


def _opening(config: Mapping[str, Any], scores: Mapping[str, Any], engine: Engine | None) -> dict[str, Any]:
    """What is said of every evaluation; how long an engine took is that of the first process alone."""
    more = {} if engine is None else {"computes": engine.computes, "seconds": engine.seconds}
    return {
        "ckpt_path": config["ckpt_path"],
        "split": config["split"],
        **scores,
        "arithmetic": arithmetic_of(config),
        "engine": {"name": config["engine"], **more},
    }


def _written(
    config: Mapping[str, Any], trainer: pl.Trainer, evaluation: dict[str, Any], names: Sequence[str], texts: list[str]
) -> dict[str, Any]:
    """Writes and prints an evaluation; `texts` are printed behind its scores."""
    machine = hardware(trainer.strategy.root_device)
    evaluation |= {"versions": versions(), "commit": commit(), "hardware": machine}
    output_dir = Path(config["paths"]["output_dir"])
    write_json(output_dir / EVALUATION_FILE, evaluation, config["paths"]["root_dir"])
    confusion_figure(evaluation["confusion"], names).savefig(output_dir / CONFUSION_PICTURE, dpi=150)
    print(_scores_text(evaluation, names), *texts, sep="\n\n", end="\n\n")
    print("written:", output_dir / EVALUATION_FILE, output_dir / CONFUSION_PICTURE, sep="\n  ")
    return evaluation


def _scores_text(evaluation: Mapping[str, Any], names: Sequence[str]) -> str:
    right = sum(row[label] for label, row in enumerate(evaluation["confusion"]))
    images, engine = evaluation["images"], evaluation["engine"]
    lines = [
        f"{evaluation['split']} accuracy {percent(evaluation['accuracy'])} "
        f"({right} of {images} images), loss {evaluation['loss']:.4f}"
    ]
    if engine["name"] != TORCH:
        lines.append(
            f"engine {engine['name']} ({engine['computes']}): {counted(images, 'image')} in {engine['seconds']:.2f} s"
        )
    classes = [[name, percent(value)] for name, value in zip(names, evaluation["class_accuracy"], strict=True)]
    return "\n".join([*lines, "", text_table(classes, ["class", "accuracy"])])


def _thresholds_text(thresholds: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        [layer, *(f"{kinds[kind]:.4f}" if kind in kinds else "-" for kind in ("weight", "act"))]
        for layer, kinds in thresholds.items()
    ]
    return text_table(rows, ["layer", "alpha weight", "alpha act"])
