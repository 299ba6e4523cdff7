"""The metrics of every epoch, kept where training goes on from, and written as a table."""

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from apot_lit.runs.files import write_text
from apot_lit.runs.result import SECONDS

Curves = dict[str, list[float | None]]

_NOT_OF_AN_EPOCH = ("train/loss_step", "val/")
_FIRST = ("epoch", SECONDS, "train/loss", "train/acc", "val/loss", "val/acc")
_KEY = "history"
_TRAIN_METRICS = ("train_loss", "train_accuracy")


class History(Checkpoint):
    """Keeps what is logged once an epoch; checkpoints carry it, so that it can't disagree with them.

    It writes a table with a row for every epoch, also those before a training was resumed: their number, the seconds
    they took, validation included, losses, accuracies, learning rates and thresholds.

    Lightning takes it for a checkpoint, whose turn comes after the module's own end of an epoch. It must come before
    those that write one.

    Args:
        table: the file to write, in CSV.

    Attributes:
        epochs: per finished epoch its metrics by name, with ``epoch``, counted from 1, and ``seconds``.
    """

    def __init__(self, table: Path) -> None:
        self.table = table
        self.epochs: list[dict[str, float]] = []
        self._current: dict[str, float] = {}
        self._since = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes the time, and the learning rates that the epoch starts with."""
        self._since = time.monotonic()
        for optimizer in trainer.optimizers:
            name = type(optimizer).__name__
            for group in optimizer.param_groups:
                self._current.setdefault(f"lr-{name}/{group['name']}", float(group["lr"]))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes the metrics of the validation, of the last one if an epoch has several."""
        if not trainer.sanity_checking:
            metrics = trainer.callback_metrics.items()
            self._current |= {name: float(value) for name, value in metrics if name.startswith("val/")}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Completes the epoch."""
        metrics = trainer.callback_metrics.items()
        self._current |= {name: float(value) for name, value in metrics if not name.startswith(_NOT_OF_AN_EPOCH)}
        self.epochs.append({"epoch": float(trainer.current_epoch + 1), **self._current, SECONDS: self._seconds()})
        self._current = {}
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._write()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds all epochs, and what is known of the current one."""
        running = {name: dict(getattr(pl_module, name).metric_state) for name in _TRAIN_METRICS}
        current = {**self._current, SECONDS: self._seconds()} if self._current else {}
        checkpoint[_KEY] = {"epochs": self.epochs, "current": current, "running": running}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Goes on from them; a checkpoint of version 0.1.0 has none."""
        history = checkpoint.get(_KEY, {"epochs": [], "current": {}, "running": {}})
        self.epochs, self._current = list(history["epochs"]), dict(history["current"])
        for name, state in history["running"].items():
            metric = getattr(pl_module, name)
            for key, value in state.items():
                setattr(metric, key, value.clone())
            metric._update_count = 1  # else it would warn that it has seen nothing

    def curves(self) -> Curves:
        """Columns of equal length, ``epoch`` first; None where an epoch lacks a metric, 6 digits of each number.

        Without the seconds, which no repetition would have.
        """
        names = sorted({name for metrics in self.epochs for name in metrics} - {"epoch", SECONDS})
        if not names:
            return {}
        columns: Curves = {"epoch": [metrics["epoch"] for metrics in self.epochs]}
        for name in names:
            values = (metrics.get(name) for metrics in self.epochs)
            columns[name] = [None if value is None else float(f"{value:.6g}") for value in values]
        return columns

    def _seconds(self) -> float:
        return self._current.get(SECONDS, 0.0) + time.monotonic() - self._since

    def _write(self) -> None:
        names = {name for metrics in self.epochs for name in metrics}
        columns = [name for name in _FIRST if name in names] + sorted(names - set(_FIRST))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        for metrics in self.epochs:
            row = {name: f"{value:.6g}" for name, value in metrics.items()}
            table.writerow({**row, "epoch": int(metrics["epoch"]), SECONDS: f"{metrics.get(SECONDS, 0.0):.1f}"})
        self.table.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.table, text.getvalue())
