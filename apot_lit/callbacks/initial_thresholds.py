"""Clipping thresholds from the first training images."""

from typing import Any

import pytorch_lightning as pl

from apot_lit.classifier import QuantClassifier
from apot_lit.quant.initialize import initialize_alphas


class InitialThresholds(pl.Callback):
    """Sets the clipping thresholds from a batch of training images before the first step; see `initialize_alphas`.

    Training that resumes keeps the thresholds of its checkpoint.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Initialises the thresholds; every process does so with the same images."""
        if trainer.ckpt_path is not None:
            return
        assert isinstance(pl_module, QuantClassifier)
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        datamodule.setup("fit")
        images, _ = next(iter(datamodule.eval_loader("train", shared=False)))
        initialize_alphas(pl_module.network, images)
