"""Histograms of the weights and confusion matrices for loggers."""

from typing import Any

import pytorch_lightning as pl
from torchmetrics.classification import MulticlassConfusionMatrix

from apot_lit.data.datamodule import ImageDataModule
from apot_lit.data.sources import class_names
from apot_lit.quant.histogram import weights_before_and_after
from apot_lit.quant.ranges import TRUTH, check
from apot_lit.runs.confusion import confusion_figure
from apot_lit.training.classifier import QuantClassifier, final_name
from apot_lit.training.loggers import closed_after, log_histogram, log_picture


class Snapshots(pl.Callback):
    """Gives loggers what is no number: how the weights lie, and which digits are taken for which.

    The weights of each quantised layer come as ``weights/<layer>/float`` and ``weights/<layer>/quantised``, before and
    after quantisation. The confusion matrix comes as a picture ``test/confusion``, and as ``final/train_confusion`` and
    ``final/val_confusion`` of the same network. All are of the network that is tested at the end.

    Args:
        each_validation: log the weights that are validated, and ``val/confusion``, at each validation as well.
    """

    def __init__(self, each_validation: bool = False) -> None:
        check("each_validation", each_validation, TRUTH)
        self.each_validation = each_validation

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Makes a confusion matrix for as many classes as the network has."""
        assert isinstance(pl_module, QuantClassifier)
        self._confusion = MulticlassConfusionMatrix(pl_module.confusion.num_classes, validate_args=False)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Logs the weights with the first batch: by then an average has taken the place of the weights, if any does."""
        if batch_idx == 0 and self._wanted(trainer):
            self._confusion.to(pl_module.device).reset()
            self._log_weights(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Counts a batch."""
        if self._wanted(trainer):
            self._confusion.update(outputs, batch[1])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs the confusion matrix of the validation images."""
        if self._wanted(trainer):
            self._log_confusion(trainer, "val/confusion", self._confusion)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs the confusion matrix of the split that was tested, and with that of the test images the weights."""
        assert isinstance(pl_module, QuantClassifier)
        self._log_confusion(trainer, f"{final_name(pl_module.tested_split)}confusion", pl_module.confusion)
        if pl_module.tested_split == "test":
            self._log_weights(trainer, pl_module)

    def _wanted(self, trainer: pl.Trainer) -> bool:
        return self.each_validation and bool(trainer.loggers) and not trainer.sanity_checking

    @staticmethod
    def _log_weights(trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, QuantClassifier)
        if not (trainer.is_global_zero and trainer.loggers):
            return
        for layer, before, after in weights_before_and_after(pl_module.network):
            for logger in trainer.loggers:
                log_histogram(logger, f"weights/{layer}/float", before, trainer.global_step)
                log_histogram(logger, f"weights/{layer}/quantised", after, trainer.global_step)

    @staticmethod
    def _log_confusion(trainer: pl.Trainer, name: str, confusion: MulticlassConfusionMatrix) -> None:
        counts = confusion.compute().tolist()  # of all processes: each must ask
        if not (trainer.is_global_zero and trainer.loggers):
            return
        data = getattr(trainer, "datamodule", None)
        numbers = [str(label) for label in range(len(counts))]
        names = class_names(data.options) if isinstance(data, ImageDataModule) else numbers
        with closed_after(confusion_figure(counts, names)) as figure:
            for logger in trainer.loggers:
                log_picture(logger, name, figure, trainer.global_step)
