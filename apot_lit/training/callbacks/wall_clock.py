"""How long training took, resumed parts included."""

import time
from typing import Any

import pytorch_lightning as pl


class WallClock(pl.Callback):
    """Counts the seconds from the start of the fit to its end; checkpoints carry the count on.

    Attributes:
        seconds: of this fit and of those that its checkpoint comes from, up to that checkpoint.
    """

    def __init__(self) -> None:
        self._before = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts counting."""
        self._started = time.monotonic()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops counting."""
        self._before, self._started = self.seconds, None

    def state_dict(self) -> dict[str, Any]:
        """The count, for a checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from the count of a checkpoint."""
        self._before = state_dict["seconds"]
