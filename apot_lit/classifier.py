"""The LightningModule: loss, metrics and optimizer of a quantised classifier."""

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from apot_lit.build import build_datamodule, build_network
from apot_lit.distillation import Distillation
from apot_lit.optim import build_optimizer, build_scheduler

NUM_CLASSES = 10

Batch = tuple[Tensor, Tensor]


class QuantClassifier(pl.LightningModule):
    """Trains and evaluates one network with cross entropy.

    The configuration is kept in every checkpoint as plain containers, so that
    ``QuantClassifier.load_from_checkpoint(path)`` rebuilds the network and ``torch.load(weights_only=True)`` reads it.

    Attributes:
        confusion: confusion matrix of the last test.
        predictions: predicted classes of the last test, one tensor a batch, of this process alone.

    Args:
        config: plain mapping with the sections ``model``, ``quant``, ``data``, ``optimizer``, ``scheduler`` and the
            key ``seed``; everything else in it is carried along.
        network: a network to use in place of the one that the sections ``model`` and ``quant`` describe.
        distillation: a teacher to learn from besides the labels; no part of checkpoints.

    Shape:
        images ``[N, 1, 28, 28]``, normalised, to logits ``[N, 10]``.

    Raises:
        UserError: for a value in `config` outside what is allowed.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        network: nn.Module | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters("config", logger=False)
        self.config = config
        if network is None:
            input_step = build_datamodule(config["data"], config["seed"]).input_step
            network = build_network(config["model"], config["quant"], input_step)
        self.network = network
        self.distillation = distillation
        self._memory_format = torch.contiguous_format
        self._compile_mode: str | None = None
        self._compiled: Callable[[Tensor], Tensor] | None = None
        # Looking for NaN would make a GPU wait at every step.
        self.train_loss, self.val_loss, self.test_loss = (MeanMetric(nan_strategy="disable") for _ in range(3))
        self.train_accuracy, self.val_accuracy, self.test_accuracy = (
            MulticlassAccuracy(NUM_CLASSES, average="micro", validate_args=False) for _ in range(3)
        )
        self.predictions: list[Tensor] = []
        self.confusion = MulticlassConfusionMatrix(NUM_CLASSES, validate_args=False)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits."""
        logits: Tensor = self.network(images.contiguous(memory_format=self._memory_format))
        return logits

    def use_channels_last(self) -> None:
        """Keeps images, activations and convolution weights in channels-last memory format."""
        self._memory_format = torch.channels_last
        self.network.to(memory_format=torch.channels_last)

    def compile_training(self, mode: str) -> None:
        """Compiles the network for full training batches, when the first one comes.

        Everything else, the smaller last batch of an epoch and evaluation, runs uncompiled: each further shape would
        cost a compilation of its own. A function is compiled rather than the module, so that names in checkpoints
        stay as they are.

        Args:
            mode: of `torch.compile`.
        """
        self._compile_mode = mode

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Returns the loss of a batch: its mean cross entropy, with that of a teacher if there is one."""
        images, labels = batch
        full = len(labels) == self.config["data"]["batch_size"]
        logits = self._training_forward()(images) if full else self(images)
        loss = F.cross_entropy(logits, labels)
        if self.distillation is not None:
            loss = self.distillation.loss(images, logits, loss)
        self.train_loss.update(loss.detach().expand(labels.numel()))
        self.train_accuracy.update(logits.detach(), labels)
        if self.trainer.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log("train/loss_step", loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        """Logs loss and accuracy of the epoch."""
        self._log_epoch("train", self.train_loss, self.train_accuracy)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Adds a batch to the metrics."""
        self._evaluate(batch, self.val_loss, self.val_accuracy)

    def on_validation_epoch_end(self) -> None:
        """Logs loss and accuracy on the validation split."""
        self._log_epoch("val", self.val_loss, self.val_accuracy)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Adds a batch of whichever split is being tested to the metrics."""
        logits = self._evaluate(batch, self.test_loss, self.test_accuracy)
        self.confusion.update(logits, batch[1])
        self.predictions.append(logits.argmax(1))

    def on_test_epoch_end(self) -> None:
        """Logs loss and accuracy of the split being tested; `confusion` stays readable until the next test."""
        self._log_epoch("test", self.test_loss, self.test_accuracy)

    def on_test_epoch_start(self) -> None:
        """Starts a confusion matrix and a list of predictions of its own for every test."""
        self.confusion.reset()
        self.predictions.clear()

    def configure_optimizers(self) -> Any:
        """Builds optimizer and scheduler as the configuration says."""
        optimizer = build_optimizer(self.network, self.config["optimizer"])
        total_steps = int(self.trainer.estimated_stepping_batches)
        scheduler = build_scheduler(optimizer, self.config["scheduler"], total_steps, self.trainer.max_epochs or 0)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _training_forward(self) -> Callable[[Tensor], Tensor]:
        """What computes the logits of full batches; compiled only now, since a compiled function can't be copied."""
        if self._compile_mode is not None and self._compiled is None:
            self._compiled = torch.compile(self.forward, mode=self._compile_mode, dynamic=False)
        return self if self._compiled is None else self._compiled

    def _evaluate(self, batch: Batch, loss: MeanMetric, accuracy: MulticlassAccuracy) -> Tensor:
        images, labels = batch
        logits = self(images)
        loss.update(F.cross_entropy(logits, labels).expand(labels.numel()))
        accuracy.update(logits, labels)
        return logits

    def _log_epoch(self, split: str, loss: MeanMetric, accuracy: MulticlassAccuracy) -> None:
        # Computed values rather than the metric objects: computing already reduces over processes.
        self.log_dict({f"{split}/loss": loss.compute(), f"{split}/acc": accuracy.compute()}, rank_zero_only=True)
        loss.reset()
        accuracy.reset()
