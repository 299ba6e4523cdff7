"""The checkpoint that a training goes on from: after each epoch, every few minutes, and when it is told to stop."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from apot_lit.quant.ranges import Number, check

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LastCheckpoint(Checkpoint):
    """Writes ``last.ckpt``.

    Ctrl-C or a termination signal lets the step end that is being computed, writes the checkpoint and stops; a second
    one stops at once, and the checkpoint before stays. Training that resumes goes on with the next batch.

    Args:
        dirpath: directory of the file.
        every_minutes: longest time between two checkpoints, in minutes; above 0.

    Attributes:
        path: the file.
        written: whether this training has written it, or goes on from it.
    """

    def __init__(self, dirpath: str, every_minutes: float = 10.0) -> None:
        check("every_minutes", every_minutes, Number(0, 1e6, above=True))
        self.path = Path(dirpath) / "last.ckpt"
        self.every_minutes = every_minutes
        self.written = False
        self._saved = 0.0
        self._told_to_stop = False
        self._before: dict[int, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts to listen to signals."""
        self.written = self.path.exists() and trainer.ckpt_path is not None
        self._saved, self._told_to_stop = time.monotonic(), False
        if threading.current_thread() is threading.main_thread():  # only it may set handlers
            self._before = {number: signal.signal(number, self._tell) for number in _SIGNALS}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves if it is time or the training is to stop, but not before the end of an epoch, which saves anyway."""
        whole_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if trainer.is_last_batch or not whole_step:
            return
        stop = self._decided(trainer, self._told_to_stop)
        if stop or self._decided(trainer, time.monotonic() - self._saved > 60 * self.every_minutes):
            self._save(trainer)
        if stop:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves after every epoch."""
        self._save(trainer)
        done = trainer.current_epoch + 1 == trainer.max_epochs  # what is left is not for this callback to stop
        if not done and self._decided(trainer, self._told_to_stop):
            raise KeyboardInterrupt

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Gives the signals back."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _tell(self, number: int, frame: Any) -> None:
        if self._told_to_stop:
            raise KeyboardInterrupt
        self._told_to_stop = True

    def _save(self, trainer: pl.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path, weights_only=False)
            self.written, self._saved = True, time.monotonic()

    @staticmethod
    def _decided(trainer: pl.Trainer, own: bool) -> bool:
        """Whether any process says so: they must save together."""
        decide: Callable[..., bool] = trainer.strategy.reduce_boolean_decision
        return own if trainer.world_size == 1 else decide(own, all=False)
