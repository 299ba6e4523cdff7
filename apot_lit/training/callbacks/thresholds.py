"""Logs the clipping thresholds as they are learned."""

import pytorch_lightning as pl

from apot_lit.quant import clipping_thresholds
from apot_lit.training.classifier import QuantClassifier


class ClippingThresholds(pl.Callback):
    """Logs ``alpha/<layer>/<weight or act>`` of every quantised layer at the end of each epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reads and logs all thresholds."""
        assert isinstance(pl_module, QuantClassifier)
        thresholds = clipping_thresholds(pl_module.network)
        pl_module.log_dict(
            {f"alpha/{layer}/{kind}": alpha for layer, kinds in thresholds.items() for kind, alpha in kinds.items()},
            sync_dist=True,  # equal in all processes
        )
