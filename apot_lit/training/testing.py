"""What a network gets right on one split."""

from typing import Any

import pytorch_lightning as pl
import torch

from apot_lit.data.loader import BatchLoader
from apot_lit.training.classifier import QuantClassifier, final_name


def evaluate_split(trainer: pl.Trainer, classifier: QuantClassifier, datamodule: Any, split: str) -> dict[str, Any]:
    """Runs a network over one split, in order and without augmentation.

    Loggers get ``test/acc`` and ``test/loss``, of other splits ``final/<split>_acc`` and ``final/<split>_loss``.

    Returns:
        ``accuracy`` (0 to 1), mean ``loss``, ``images``, ``class_accuracy`` (one per class), ``confusion``, a
        matrix of counts with a row per true class and a column per predicted one, and ``misclassified``: position
        in the split, true and predicted class of every image that was (None if several processes share the split).

    Raises:
        UserError: if the split is empty.
    """
    datamodule.trainer = trainer
    classifier.tested_split = split
    (metrics,) = trainer.test(classifier, dataloaders=datamodule.eval_loader(split), verbose=False)
    confusion = classifier.confusion.compute().tolist()
    return {
        "accuracy": metrics[f"{final_name(split)}acc"],
        "loss": metrics[f"{final_name(split)}loss"],
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
