"""Batch-norm statistics of the weights that are evaluated."""

from itertools import islice
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import update_bn

from apot_lit.quant.ranges import Integer, check
from apot_lit.training.classifier import QuantClassifier


class ReestimatedBatchNorm(pl.Callback):
    """Before each validation, replaces running batch-norm statistics by those of the weights as they are.

    After an epoch that no validation ends it does so too, before a checkpoint of the epoch is written.

    Running statistics lag behind weights that go on changing between quantisation levels (Nagel et al., "Overcoming
    Oscillations in Quantization-Aware Training", ICML 2022, section 3.1). The new ones are means over training
    images, not augmented. They stay in the network, and so in the checkpoints that follow. To act on averaged
    weights this callback must come after `MovingAverage`.

    Args:
        images: how many training images.
    """

    def __init__(self, images: int = 5000) -> None:
        check("images", images, Integer(1))
        self.images = images

    _replaced_at_step = -1

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replaces the statistics."""
        if not trainer.sanity_checking:
            self._replace(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replaces the statistics if no validation did since the last step."""
        if self._replaced_at_step == trainer.global_step:
            return
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        averages = [callback for callback in callbacks if isinstance(callback, WeightAveraging)]
        for average in averages:
            average.on_validation_epoch_start(trainer, pl_module)  # the network gets the weights that are saved
        self._replace(trainer, pl_module)
        for average in averages:
            average.on_validation_epoch_end(trainer, pl_module)

    def _replace(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, QuantClassifier)
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        loader = datamodule.eval_loader("train", shared=False)  # the same in every process
        batches = -(-self.images // loader.batch_size)
        update_bn(islice(iter(loader), batches), pl_module)
        self._replaced_at_step = trainer.global_step
