"""Clipping thresholds from the first training images."""

from typing import Any

import pytorch_lightning as pl

from apot_lit.quant.initialize import initialize_alphas
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.processes import share_from_first


class InitialThresholds(pl.Callback):
    """Sets the clipping thresholds from a batch of training images before the first step; see `initialize_alphas`.

    Training that resumes keeps the thresholds of its checkpoint.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Initialises the thresholds; all processes then have those of the first."""
        if trainer.ckpt_path is not None:
            return
        assert isinstance(pl_module, QuantClassifier)
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        datamodule.setup("fit")
        images, _ = next(iter(datamodule.eval_loader("train", shared=False)))
        initialize_alphas(pl_module.network, images)
        # Distributed training made weights equal before; sums of other hardware may differ.
        parameters = pl_module.network.named_parameters()
        share_from_first(parameter for name, parameter in parameters if name.endswith("raw_alpha"))
