"""Progress of a training: one bar in a terminal, one line an epoch elsewhere."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from apot_lit.quant.ranges import Number, check


class TrainingProgress(pl.callbacks.ProgressBar):
    """Shows epoch, training loss, validation accuracy and the time left of the whole training.

    Args:
        refresh_seconds: shortest time between two updates of the bar; reading the loss waits for the device.
    """

    def __init__(self, refresh_seconds: float = 0.5) -> None:
        check("refresh_seconds", refresh_seconds, Number(0, 3600))
        super().__init__()
        self.refresh_seconds = refresh_seconds
        self._enabled = True
        self._bar: tqdm[Any] | None = None
        self._started = self._refreshed = 0.0
        self._first_epoch = 0

    def disable(self) -> None:
        """Lightning calls this on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """The opposite of `disable`."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar, at the steps already done if training is resumed."""
        self._started, self._first_epoch = time.monotonic(), trainer.current_epoch
        if self._enabled and sys.stderr.isatty():
            total = trainer.estimated_stepping_batches
            self._bar = tqdm(
                total=int(total) if total != float("inf") else None,
                initial=trainer.global_step,
                unit="step",
                dynamic_ncols=True,
                bar_format="{desc}|{bar}| {percentage:3.0f} % [{elapsed}, {remaining} left{postfix}]",
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar, not more often than every `refresh_seconds`."""
        now = time.monotonic()
        if self._bar is not None and (now - self._refreshed >= self.refresh_seconds or trainer.is_last_batch):
            self._refreshed = now
            self._bar.set_description_str(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", refresh=False)
            self._bar.set_postfix_str(self._metrics(trainer, float(outputs["loss"])), refresh=False)
            self._bar.update(trainer.global_step - self._bar.n)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the line of the epoch before, whose metrics are complete by now."""
        self._print_line(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the line of the last epoch, or closes the bar."""
        self._print_line(trainer)
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Closes the bar, so that the message of the error has a line of its own."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print_line(self, trainer: pl.Trainer) -> None:
        epochs_done = trainer.current_epoch - self._first_epoch
        if not self._enabled or self._bar is not None or epochs_done < 1:
            return
        elapsed = time.monotonic() - self._started
        left = elapsed / epochs_done * max(0, (trainer.max_epochs or 0) - trainer.current_epoch)
        metrics = self._metrics(trainer, float(trainer.callback_metrics["train/loss"]))
        print(
            f"epoch {trainer.current_epoch}/{trainer.max_epochs}: {metrics}, {elapsed:.0f} s, {left:.0f} s left",
            flush=True,
        )

    @staticmethod
    def _metrics(trainer: pl.Trainer, loss: float) -> str:
        accuracy = trainer.callback_metrics.get("val/acc")
        return f"loss {loss:.4f}" + ("" if accuracy is None else f", val {100 * float(accuracy):.2f} %")
