"""A moving average of the weights."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from apot_lit.quant.ranges import Number, check


class MovingAverage(WeightAveraging):
    """Validates, saves and in the end keeps a moving average of weights, clipping thresholds and batch norms.

    After every step ``average = d * average + (1 - d) * current`` with ``d = min(decay, (1 + n) / (10 + n))`` at step
    n, so that the average forgets the first, untrained weights soon. A checkpoint holds the average as the network's
    weights, and what training goes on from under keys of its own.

    Args:
        decay: d after the start, below 1; ``1 / (1 - decay)`` is about the number of steps averaged over.
    """

    def __init__(self, decay: float = 0.998) -> None:
        check("decay", decay, Number(0, 1, below=True))
        super().__init__(use_buffers=True, multi_avg_fn=self._average)
        self.decay = decay

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Moves the average to where training runs: it was created before the network came there.

        The count of updates stays on the CPU, where reading it at every step waits for nothing.
        """
        assert self._average_model is not None
        self._average_model.module.to(trainer.strategy.root_device)

    @torch.no_grad()
    def _average(self, averages: Any, current: Any, averaged: Tensor | int) -> None:
        if averages[0].is_floating_point():  # they come grouped by type; integers count batches
            steps = self._latest_update_step  # not `averaged`: reading it would wait for the device
            decay = min(self.decay, (1 + steps) / (10 + steps))
            torch._foreach_lerp_(averages, current, 1 - decay)
