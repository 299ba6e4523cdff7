"""Evaluation of a checkpoint, or of a network just trained, on one split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from apot_lit.build import build_datamodule
from apot_lit.checkpoint import checkpoint_config, load_network, network_state, read_file, require_config
from apot_lit.classifier import QuantClassifier
from apot_lit.data.loader import BatchLoader
from apot_lit.errors import UserError
from apot_lit.export.cost import cost_table, measure_cost
from apot_lit.interop.reference import is_reference, reference_config, reference_state
from apot_lit.quant import clipping_thresholds
from apot_lit.results import commit, hardware, percent, text_table, versions, write_json
from apot_lit.trainers import build_trainer, prepare

SPLITS = ("train", "val", "test")
EVALUATION_FILE = "evaluation.json"
CONFUSION_PICTURE = "confusion.png"


def evaluate(config: dict[str, Any]) -> dict[str, Any]:
    """Evaluates a checkpoint, with model and data rebuilt from what it carries.

    Writes ``evaluation.json`` and a picture of the confusion matrix to the output directory.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.EvaluateConfig`.

    Returns:
        The content of ``evaluation.json``.

    Raises:
        UserError: for an unknown split or a checkpoint that cannot be evaluated.
    """
    if config["split"] not in SPLITS:
        raise UserError(f"split={config['split']}: must be one of {', '.join(SPLITS)}")
    trained, state = checkpoint_contents(config)
    data = {**trained["data"], "data_dir": config["data_dir"], "eval_batch_size": config["batch_size"]}
    trained = {**trained, "data": data}
    datamodule = build_datamodule(data, trained["seed"])
    classifier = QuantClassifier(trained)
    load_network(classifier.network, state, f"ckpt_path={config['ckpt_path']}")
    cost = measure_cost(classifier.network, (1, 1, 28, 28))  # early: nothing is compiled yet
    prepare(classifier, config["trainer"])
    trainer = build_trainer(config["trainer"], logger=False, enable_progress_bar=False, enable_checkpointing=False)
    scores = evaluate_split(trainer, classifier, datamodule, config["split"])
    if not trainer.is_global_zero:
        return {}
    evaluation = {
        "ckpt_path": config["ckpt_path"],
        "split": config["split"],
        **scores,
        "clipping_thresholds": clipping_thresholds(classifier.network),
        "cost": cost.to_dict(),
        "config": trained,
        "versions": versions(),
        "commit": commit(),
        "hardware": hardware(trainer.strategy.root_device),
    }
    output_dir = Path(config["paths"]["output_dir"])
    write_json(output_dir / EVALUATION_FILE, evaluation, config["paths"]["root_dir"])
    confusion_figure(scores["confusion"]).savefig(output_dir / CONFUSION_PICTURE, dpi=150)
    _print_evaluation(evaluation)
    print(cost_table(cost), end="\n\n")
    print("written:", output_dir / EVALUATION_FILE, output_dir / CONFUSION_PICTURE, sep="\n  ")
    return evaluation


def evaluate_split(trainer: pl.Trainer, classifier: QuantClassifier, datamodule: Any, split: str) -> dict[str, Any]:
    """Runs a network over one split, in order and without augmentation.

    Returns:
        ``accuracy`` (0 to 1), mean ``loss``, ``images``, ``class_accuracy`` (one per class), ``confusion``, a
        matrix of counts with a row per true class and a column per predicted one, and ``misclassified``: position
        in the split, true and predicted class of every image that was (None if several processes share the split).

    Raises:
        UserError: if the split is empty.
    """
    datamodule.trainer = trainer
    datamodule.setup("test")
    (metrics,) = trainer.test(classifier, dataloaders=datamodule.eval_loader(split), verbose=False)
    confusion = classifier.confusion.compute().tolist()
    return {
        "accuracy": metrics["test/acc"],
        "loss": metrics["test/loss"],
        "images": sum(map(sum, confusion)),
        "class_accuracy": [row[label] / sum(row) if sum(row) else None for label, row in enumerate(confusion)],
        "confusion": confusion,
        "misclassified": _misclassified(classifier, datamodule.eval_loader(split)),
    }


def _misclassified(classifier: QuantClassifier, loader: BatchLoader) -> list[list[int]] | None:
    if loader.world_size > 1:
        return None
    predicted = torch.cat(classifier.predictions)
    labels = loader.labels[loader.indices][: len(predicted)]  # a Trainer may be limited to the first batches
    wrong = (labels != predicted).nonzero().flatten()
    return torch.stack([wrong, labels[wrong], predicted[wrong]], dim=1).tolist()


def confusion_figure(confusion: list[list[int]]) -> Figure:
    """Draws a confusion matrix: counts in the cells, colour by share of the row with the diagonal left out."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = len(confusion)
    errors = [[0 if r == c else n / max(1, sum(row)) for c, n in enumerate(row)] for r, row in enumerate(confusion)]
    figure, axes = pyplot.subplots(figsize=(6, 5.6), layout="constrained")
    axes.imshow(errors, cmap="Reds", vmin=0)
    for r, row in enumerate(confusion):
        for c, count in enumerate(row):
            if count:
                colour = "white" if errors[r][c] > 0.6 * max(map(max, errors)) else "black"
                weight = "bold" if r == c else "normal"
                axes.text(c, r, str(count), ha="center", va="center", fontsize=8, color=colour, weight=weight)
    axes.set(xticks=range(size), yticks=range(size), xlabel="predicted", ylabel="true", title="Confusion matrix")
    return figure


def checkpoint_contents(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads a checkpoint of this project or of the reference implementation.

    Args:
        config: plain configuration with the keys ``ckpt_path``, ``model`` and ``quant``.

    Returns:
        The configuration the network was trained with, and its weights.

    Raises:
        UserError: if it can't be read, or is given a network that it carries itself.
    """
    where = f"ckpt_path={config['ckpt_path']}"
    checkpoint = read_file(config["ckpt_path"], "ckpt_path")
    model, quant = config["model"], config["quant"]
    if is_reference(checkpoint):
        trained = reference_config(checkpoint, model, quant["bit"], quant["power"], where)
        return trained, reference_state(checkpoint)
    require_config(checkpoint, where)
    trained = checkpoint_config(checkpoint)
    if model is not None or quant["bit"] is not None:
        given = f"model={trained['model']['name']} quant.bit={trained['quant']['bit']}"
        raise UserError(f"{where}: carries its own configuration ({given}); leave model and quant out")
    return trained, network_state(checkpoint)


def _print_evaluation(evaluation: dict[str, Any]) -> None:
    right = sum(row[label] for label, row in enumerate(evaluation["confusion"]))
    print(
        f"{evaluation['split']} accuracy {percent(evaluation['accuracy'])} "
        f"({right} of {evaluation['images']} images), loss {evaluation['loss']:.4f}\n"
    )
    classes = [[label, percent(value)] for label, value in enumerate(evaluation["class_accuracy"])]
    print(text_table(classes, ["class", "accuracy"]), end="\n\n")
    thresholds = [
        [layer, *(f"{kinds[kind]:.4f}" if kind in kinds else "-" for kind in ("weight", "act"))]
        for layer, kinds in evaluation["clipping_thresholds"].items()
    ]
    if thresholds:
        print(text_table(thresholds, ["layer", "alpha weight", "alpha act"]), end="\n\n")
