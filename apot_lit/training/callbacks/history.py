"""The metrics of every epoch, kept where training goes on from."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

Curves = dict[str, list[float | None]]

_NOT_OF_AN_EPOCH = ("train/loss_step", "final/", "val/")
_KEY = "history"
_TRAIN_METRICS = ("train_loss", "train_accuracy")


class History(Checkpoint):
    """Keeps what is logged once an epoch; checkpoints carry it, so that it can't disagree with them.

    Lightning takes it for a checkpoint, whose turn comes after the module's own end of an epoch. It must come before
    those that write one.

    Attributes:
        epochs: per finished epoch its metrics by name, with ``epoch``, counted from 1.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._current: dict[str, float] = {}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes the learning rates that the epoch starts with."""
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
        self.epochs.append({"epoch": float(trainer.current_epoch + 1), **self._current})
        self._current = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds all epochs, and what is known of the current one."""
        running = {name: dict(getattr(pl_module, name).metric_state) for name in _TRAIN_METRICS}
        checkpoint[_KEY] = {"epochs": self.epochs, "current": self._current, "running": running}

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
        """Columns of equal length, ``epoch`` first; None where an epoch lacks a metric, 6 digits of each number."""
        names = sorted({name for metrics in self.epochs for name in metrics} - {"epoch"})
        if not names:
            return {}
        columns: Curves = {"epoch": [metrics["epoch"] for metrics in self.epochs]}
        for name in names:
            values = (metrics.get(name) for metrics in self.epochs)
            columns[name] = [None if value is None else float(f"{value:.6g}") for value in values]
        return columns
