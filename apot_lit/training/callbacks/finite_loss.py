"""Stops a training whose loss is no longer a number."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from apot_lit.errors import UserError
from apot_lit.quant.ranges import Integer, check

_NEVER = 2**62


class FiniteLoss(pl.Callback):
    """Stops with the step at which the training loss first became NaN or infinite.

    The step is noted on the device, and read every `every_n_steps` steps and at the end of each epoch, before any
    checkpoint of the epoch is written: training on a GPU is not made to wait at every step. If the loss of one process
    is no number, all processes stop.

    Args:
        every_n_steps: how often to look, in training steps.

    Raises:
        UserError: in ``on_train_batch_end``, with step, epoch and what to try.
    """

    def __init__(self, every_n_steps: int = 20) -> None:
        check("every_n_steps", every_n_steps, Integer(1))
        self.every_n_steps = every_n_steps
        self._first_bad_step: Tensor | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Notes whether the loss of the step is finite, and looks at the note now and then."""
        loss = outputs["loss"].detach()
        step = torch.where(torch.isfinite(loss), _NEVER, trainer.global_step)
        seen = self._first_bad_step
        self._first_bad_step = step if seen is None else torch.minimum(seen, step)
        if trainer.is_last_batch or trainer.global_step % self.every_n_steps == 0:
            first = int(trainer.strategy.reduce(self._first_bad_step, reduce_op="min"))
            if first < _NEVER:
                self._first_bad_step = None
                raise UserError(
                    f"the training loss became NaN or infinite at step {first} (epoch {trainer.current_epoch + 1}); "
                    "try a smaller optimizer.lr, or quant.weight_norm=true if it is off"
                )
