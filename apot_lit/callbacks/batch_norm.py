"""Batch-norm statistics of the weights that are evaluated."""

from itertools import islice
from typing import Any

import pytorch_lightning as pl
from torch.optim.swa_utils import update_bn

from apot_lit.classifier import QuantClassifier


class ReestimatedBatchNorm(pl.Callback):
    """Before each validation, replaces running batch-norm statistics by those of the weights as they are.

    Running statistics lag behind weights that go on changing between quantisation levels (Nagel et al., "Overcoming
    Oscillations in Quantization-Aware Training", ICML 2022, section 3.1). The new ones are means over training
    images, not augmented. They stay in the network, and so in the checkpoints that follow. To act on averaged
    weights this callback must come after `MovingAverage`.

    Args:
        images: how many training images.
    """

    def __init__(self, images: int = 5000) -> None:
        self.images = images

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replaces the statistics."""
        if trainer.sanity_checking:
            return
        assert isinstance(pl_module, QuantClassifier)
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        loader = datamodule.eval_loader("train", shared=False)  # the same in every process
        batches = -(-self.images // loader.batch_size)
        update_bn(islice(iter(loader), batches), pl_module)
