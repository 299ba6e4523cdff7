"""Progress of a training: one bar in a terminal; elsewhere a line an epoch, and one a minute."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from apot_lit.quant.ranges import Number, check
from apot_lit.runs.text import duration
from apot_lit.training.classifier import QuantClassifier


class TrainingProgress(pl.callbacks.ProgressBar):
    """Shows epoch, loss, accuracy so far in the epoch, images per second and the time left of the whole training.

    Args:
        refresh_seconds: shortest time between two updates of the bar; reading the loss waits for the device.
        line_seconds: longest time between two lines where there is no terminal.
    """

    def __init__(self, refresh_seconds: float = 0.5, line_seconds: float = 60.0) -> None:
        check("refresh_seconds", refresh_seconds, Number(0, 3600))
        check("line_seconds", line_seconds, Number(0, 1e6))
        super().__init__()
        self.refresh_seconds, self.line_seconds = refresh_seconds, line_seconds
        self._enabled = True
        self._bar: tqdm[Any] | None = None
        self._started = self._shown = 0.0
        self._first_step = self._images = 0

    def disable(self) -> None:
        """Lightning calls this on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """The opposite of `disable`."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar, at the steps already done if training is resumed."""
        self._started = self._shown = time.monotonic()
        self._first_step, self._images = trainer.global_step, 0
        if self._enabled and sys.stderr.isatty():
            total = trainer.estimated_stepping_batches
            self._bar = tqdm(
                total=int(total) if total != float("inf") else None,
                initial=trainer.global_step,
                dynamic_ncols=True,
                bar_format="{desc} |{bar}| {percentage:3.0f} %{postfix}",
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar or prints a line, if it is time."""
        self._images += len(batch[1]) * trainer.world_size
        if not self._enabled:
            return
        wait = time.monotonic() - self._shown
        if self._bar is not None and (wait >= self.refresh_seconds or trainer.is_last_batch):
            self._bar.set_description_str(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", refresh=False)
            self._bar.set_postfix_str(", ".join([*self._parts(pl_module, outputs), self._left(trainer)]), refresh=False)
            self._bar.update(trainer.global_step - self._bar.n)
            self._shown = time.monotonic()
        elif self._bar is None and wait >= self.line_seconds and not trainer.is_last_batch:
            where = f"step {batch_idx + 1} of {trainer.num_training_batches}"
            self._print(trainer, trainer.current_epoch + 1, [where, *self._parts(pl_module, outputs)])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the line of the epoch before, whose metrics are complete by now."""
        self._print_epoch(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the line of the last epoch, or closes the bar."""
        self._print_epoch(trainer)
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Closes the bar, so that the message of the error has a line of its own."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _parts(self, pl_module: pl.LightningModule, outputs: Any) -> list[str]:
        """Loss of the step, accuracy so far in the epoch on this process, speed so far."""
        assert isinstance(pl_module, QuantClassifier)
        accuracy = f"acc {100 * pl_module.running_accuracy():.2f} %"
        return [f"loss {float(outputs['loss']):.4f}", accuracy, self._speed()]

    def _speed(self) -> str:
        return f"{self._images / max(1e-9, time.monotonic() - self._started):.0f} images/s"

    def _left(self, trainer: pl.Trainer) -> str:
        """Time left, if the rest goes as fast as this training did so far, validation included."""
        done = trainer.global_step - self._first_step
        steps = float(trainer.estimated_stepping_batches) - trainer.global_step
        seconds = (time.monotonic() - self._started) / max(1, done) * steps
        return "" if seconds == float("inf") else f"{duration(seconds)} left"

    def _print_epoch(self, trainer: pl.Trainer) -> None:
        if self._enabled and trainer.global_step > self._first_step:
            metrics = trainer.callback_metrics
            parts = [f"loss {float(metrics['train/loss']):.4f}", f"acc {100 * float(metrics['train/acc']):.2f} %"]
            parts += [f"val {100 * float(metrics['val/acc']):.2f} %"] if "val/acc" in metrics else []
            self._print(trainer, trainer.current_epoch, [*parts, self._speed()])

    def _print(self, trainer: pl.Trainer, epoch: int, parts: list[str]) -> None:
        took = f"{duration(time.monotonic() - self._started)} so far"
        line = f"epoch {epoch}/{trainer.max_epochs}: {', '.join([*parts, took, self._left(trainer)])}"
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)
        self._shown = time.monotonic()
