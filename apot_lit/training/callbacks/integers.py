"""Training, validation and test with the arithmetic of the network of integers."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from apot_lit.integer.calibration import CALIBRATION_IMAGES
from apot_lit.integer.conversion import check_convertible, to_integers
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import IntegerNetwork
from apot_lit.integer.simulation import Simulation
from apot_lit.quant.ranges import Integer, check
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.processes import share_from_first


class SimulatedIntegers(pl.Callback):
    """Trains the last epochs with the stream of the network of integers, and evaluates that network in all.

    In the last epochs the forward pass is that of `Simulation`: what batch norms and residual sums give is rounded and
    saturated to the stream. How many of its bits are fractional is chosen when such an epoch begins, as a conversion
    chooses it. These epochs are not compiled.

    Validation and test, from the first epoch on, run the network of integers itself, converted from the weights that
    are validated or tested. So the best checkpoint is the best in integers, perhaps of an epoch before the last ones.
    Logs ``stream/fraction``, the fractional bits of that network. The numbers of runs with and without this callback
    are of different things.

    Args:
        stream_bit: bits of the stream, 8 to 16.
        epochs: how many of the last epochs simulate; all, if there are fewer.
    """

    def __init__(self, stream_bit: int = 8, epochs: int = 5) -> None:
        check("stream_bit", stream_bit, Integer(8, 16))
        check("epochs", epochs, Integer(1))
        self.stream_bit = stream_bit
        self.epochs = epochs
        self._epoch, self._fraction = -1, 0
        self._simulation: Simulation | None = None

    def state_dict(self) -> dict[str, Any]:
        """The choice of the current epoch, which training goes on with."""
        return {"epoch": self._epoch, "fraction": self._fraction}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes it from a checkpoint."""
        self._epoch, self._fraction = state_dict["epoch"], state_dict["fraction"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuses a network that can't be integers before it is trained."""
        check_convertible(_classifier(pl_module).network, _images(trainer)[:1])

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begins to simulate, at the first batch of an epoch or of what is left of it."""
        epoch, classifier = trainer.current_epoch, _classifier(pl_module)
        first = (trainer.max_epochs or 0) - self.epochs
        if epoch < first or (epoch == self._epoch and self._simulation is not None):
            return
        if epoch != self._epoch:
            found = self._convert(trainer, classifier).fraction
            fraction = torch.tensor(found, device=classifier.device)
            share_from_first([fraction])  # batch norms may have statistics of their own in each process
            self._epoch, self._fraction = epoch, int(fraction)
        self._simulation = Simulation(classifier.network, self.stream_bit, self._fraction)
        classifier.stand_in = self._simulation

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends the simulation."""
        self._simulation = _classifier(pl_module).stand_in = None

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Converts the network at the first batch: other callbacks have given it its final weights and statistics."""
        if batch_idx == 0 and not trainer.sanity_checking:
            self._evaluate_integers(trainer, _classifier(pl_module))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Goes back to training."""
        _classifier(pl_module).stand_in = self._simulation

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Converts the network at the first batch."""
        if batch_idx == 0:
            self._evaluate_integers(trainer, _classifier(pl_module))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves the network as it was."""
        _classifier(pl_module).stand_in = None

    def _evaluate_integers(self, trainer: pl.Trainer, classifier: QuantClassifier) -> None:
        integers = self._convert(trainer, classifier)
        executor = Executor(integers, classifier.device)

        def logits(images: Tensor) -> Tensor:
            return executor(images).double() * integers.logit_scale

        classifier.stand_in = logits
        if trainer.validating or trainer.training:
            classifier.log("stream/fraction", float(integers.fraction), sync_dist=True)  # equal in all processes

    def _convert(self, trainer: pl.Trainer, classifier: QuantClassifier) -> IntegerNetwork:
        return to_integers(classifier.network, _images(trainer), self.stream_bit)


def _classifier(pl_module: pl.LightningModule) -> QuantClassifier:
    assert isinstance(pl_module, QuantClassifier)
    return pl_module


def _images(trainer: pl.Trainer) -> Tensor:
    datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
    images: Tensor = datamodule.calibration_images(CALIBRATION_IMAGES)
    return images
