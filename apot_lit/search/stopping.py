"""Stops trials that are far behind: Optuna's own pruners are for a single objective."""

from collections.abc import Iterable, Sequence

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from apot_lit.errors import Interrupted
from apot_lit.runs.text import percent

ACCURACY = "val/acc"
"""The metric of a run that is compared."""


class FarBehind(Interrupted):
    """A trial was stopped.

    Attributes:
        epochs: how many it had done.
        accuracy: its validation accuracy then.
    """

    def __init__(self, epochs: int, accuracy: float, needed: float) -> None:
        super().__init__(
            f"stopped after epoch {epochs}: {percent(accuracy)} in validation, below the bar of {percent(needed)}"
        )
        self.epochs, self.accuracy = epochs, accuracy


def bars(finished: Iterable[tuple[float, Sequence[float | None]]], cost: float, margin: float) -> list[float]:
    """What a trial must reach after each epoch.

    After epoch e that is ``max over j of a_j(e) - margin``, over the finished trials j whose cost is no greater than
    its own, with a_j(e) their validation accuracy after that epoch.

    Args:
        finished: cost and validation accuracy after each epoch.
        cost: of the trial.
        margin: how far behind is too far.

    Returns:
        A value per epoch, minus infinity where nothing is known; empty if no finished trial costs as little.
    """
    curves = [curve for price, curve in finished if price <= cost]
    known = [[curve[e] for curve in curves if e < len(curve)] for e in range(max(map(len, curves), default=0))]
    return [max((value for value in values if value is not None), default=float("-inf")) - margin for values in known]


class StopFarBehind(Checkpoint):
    """Ends a training after an epoch that leaves it below its bar.

    Lightning takes it for a checkpoint, whose turn comes last: the table of metrics and the last checkpoint are written
    by then. The last epoch is never stopped after.

    Args:
        needed: see `bars`.
    """

    def __init__(self, needed: Sequence[float]) -> None:
        self.needed = list(needed)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compares.

        Raises:
            FarBehind: if the accuracy is below the bar.
        """
        accuracy, epochs = trainer.callback_metrics.get(ACCURACY), trainer.current_epoch + 1
        if accuracy is None or epochs == trainer.max_epochs or epochs > len(self.needed):
            return
        if accuracy < self.needed[epochs - 1]:
            raise FarBehind(epochs, float(accuracy), self.needed[epochs - 1])
