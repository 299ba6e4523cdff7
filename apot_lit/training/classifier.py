"""The LightningModule: loss, metrics and optimizer of a quantised classifier."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from apot_lit.config.schemas import LABEL_SMOOTHING, TrainConfig
from apot_lit.data.options import DataOptions
from apot_lit.errors import UserError
from apot_lit.models.build import build_network
from apot_lit.training.distillation import Distillation
from apot_lit.training.loading import LoadableModule
from apot_lit.training.optimizers import build_optimizer, build_scheduler
from apot_lit.training.processes import share_from_first
from apot_lit.training.relocate import relocate

CONSTANT = {"name": "constant"}

Batch = tuple[Tensor, Tensor]


def final_name(split: str) -> str:
    """What the names of a finished network's metrics on a split begin with: ``test/``, ``final/train_``."""
    return "test/" if split == "test" else f"final/{split}_"


class QuantClassifier(LoadableModule):
    """Trains and evaluates one network with cross entropy.

    The configuration is kept in every checkpoint as plain containers, so that
    ``QuantClassifier.load_from_checkpoint(path)`` rebuilds the network and ``torch.load(weights_only=True)`` reads it.

    Attributes:
        confusion: confusion matrix of the last test.
        predictions: predicted classes of the last test, one tensor a batch, of this process alone.
        stand_in: what computes the logits in the network's place, such as a simulation of its integers; None: nothing
            does. It is no part of checkpoints.
        tested_split: which images a test is of; the names of what is logged tell, see `final_name`.

    Args:
        config: plain mapping with the sections ``model``, ``quant``, ``data``, ``optimizer`` and ``scheduler``, as
            `train.py` has it; everything else in it is carried along. None: `network`, `num_classes` and `optimizer`
            say all that is needed.
        network: a network to use in place of the one that `build_network` makes of the configuration.
        distillation: a teacher to learn from besides the labels; no part of checkpoints.
        num_classes: number of logits, without a configuration.
        optimizer: its ``name``, ``lr`` and other options (see `build_optimizer`), without a configuration.
        scheduler: its ``name`` and options (see `build_scheduler`), without a configuration; None: a constant rate.

    Shape:
        images ``[N, C, H, W]`` that the network takes, uint8 pixels with a configuration, to logits ``[N, classes]``.

    Raises:
        UserError: for a value in `config` outside what is allowed, and for too few or too many arguments.

    Examples:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 100))
        >>> classifier = QuantClassifier(network=network, num_classes=100, optimizer={"name": "sgd", "lr": 0.1})
        >>> classifier(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 100])
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        network: nn.Module | None = None,
        distillation: Distillation | None = None,
        *,
        num_classes: int | None = None,
        optimizer: Mapping[str, Any] | None = None,
        scheduler: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        own = {"num_classes": num_classes, "optimizer": optimizer, "scheduler": scheduler}
        if config is None:
            if network is None or num_classes is None or optimizer is None:
                raise UserError("QuantClassifier: needs config, or else network, num_classes and optimizer")
            if num_classes < 2:
                raise UserError(f"num_classes={num_classes}: must be an integer of at least 2")
            self.save_hyperparameters(*own, logger=False)
            config = {"optimizer": optimizer, "scheduler": scheduler or CONSTANT, "data": {"classes": num_classes}}
        elif given := [name for name, value in own.items() if value is not None]:
            raise UserError(f"QuantClassifier: {', '.join(given)} can't be given beside config, which has it")
        else:
            self.save_hyperparameters("config", logger=False)
        classes = config["data"].get("classes", DataOptions.classes)
        self.config, self.classes = config, classes
        self.network = build_network(config) if network is None else network
        self.distillation = distillation
        self.label_smoothing = config.get("label_smoothing", TrainConfig.label_smoothing)
        if self.label_smoothing not in LABEL_SMOOTHING:
            raise UserError(f"label_smoothing={self.label_smoothing}: must be {LABEL_SMOOTHING}")
        self.stand_in: Callable[[Tensor], Tensor] | None = None
        self._memory_format = torch.contiguous_format
        self._compile_mode: str | None = None
        self._compiled: Callable[[Tensor], Tensor] | None = None
        # Looking for NaN would make a GPU wait at every step.
        self.train_loss, self.val_loss, self.test_loss = (MeanMetric(nan_strategy="disable") for _ in range(3))
        self.train_accuracy, self.val_accuracy, self.test_accuracy = (
            MulticlassAccuracy(classes, average="micro", validate_args=False) for _ in range(3)
        )
        self.predictions: list[Tensor] = []
        self.tested_split = "test"
        self.confusion = MulticlassConfusionMatrix(classes, validate_args=False)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits."""
        compute = self.network if self.stand_in is None else self.stand_in
        logits: Tensor = compute(images.contiguous(memory_format=self._memory_format))
        return logits

    def use_channels_last(self) -> None:
        """Keeps images, activations and convolution weights in channels-last memory format."""
        self._memory_format = torch.channels_last
        self.network.to(memory_format=torch.channels_last)

    def compile_training(self, mode: str) -> None:
        """Compiles the network for full training batches, when the first one comes.

        Everything else, the smaller last batch of an epoch and evaluation, runs uncompiled: each further shape would
        cost a compilation of its own. A function is compiled rather than the module, so that names in checkpoints
        stay as they are. What was compiled before in this process is dropped: the compiler counts further networks as
        recompilations of the first, and after a few leaves them uncompiled.

        Args:
            mode: of `torch.compile`.
        """
        torch.compiler.reset()
        self._compile_mode = mode

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Returns the loss of a batch: its mean cross entropy, with that of a teacher if there is one.

        With the option ``label_smoothing`` s the cross entropy of an image of class y with logits z is
        ``(1 - s) * -log p[y] + s * mean over classes c of -log p[c]``, where p = softmax(z). Only here: losses of
        validation and test are plain.

        Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision",
        2016, section 7.
        """
        images, labels = batch
        logits = self._training_forward(len(labels))(images)
        self._require_logits(logits)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        if self.distillation is not None:
            loss = self.distillation.loss(images, logits, loss)
        self.train_loss.update(loss.detach().expand(labels.numel()))
        self.train_accuracy.update(logits.detach(), labels)
        # Lightning writes after steps n, 2n, ...; a value logged at another step would be written late.
        interval: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if interval and (self.trainer.global_step + 1) % interval == 0:
            self.log("train/loss_step", loss.detach(), sync_dist=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Logs loss and accuracy of the epoch."""
        self._log_epoch("train/", self.train_loss, self.train_accuracy)

    def running_accuracy(self) -> float:
        """Share of this process's training images of the epoch so far that were classified right."""
        right, wrong = (torch.as_tensor(count).sum() for count in (self.train_accuracy.tp, self.train_accuracy.fn))
        return float(right / (right + wrong))

    def on_validation_epoch_start(self) -> None:
        """Gives all processes the first one's batch-norm statistics, which are those that checkpoints get."""
        share_from_first(self.network.buffers())

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Adds a batch to the metrics; returns its logits, for callbacks."""
        return self._evaluate(batch, self.val_loss, self.val_accuracy)

    def on_validation_epoch_end(self) -> None:
        """Logs loss and accuracy on the validation split."""
        self._log_epoch("val/", self.val_loss, self.val_accuracy)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Adds a batch of whichever split is being tested to the metrics."""
        logits = self._evaluate(batch, self.test_loss, self.test_accuracy)
        self.confusion.update(logits, batch[1])
        self.predictions.append(logits.argmax(1))

    def predict_step(self, batch: Batch | Tensor, batch_index: int) -> dict[str, Tensor]:
        """Returns the ``logits`` of a batch of images, with labels or without, and its predicted ``classes``."""
        logits = self(batch if isinstance(batch, Tensor) else batch[0])
        return {"classes": logits.argmax(1), "logits": logits}

    def on_test_epoch_end(self) -> None:
        """Logs loss and accuracy of the split being tested; `confusion` stays readable until the next test."""
        self._log_epoch(final_name(self.tested_split), self.test_loss, self.test_accuracy)

    def on_test_epoch_start(self) -> None:
        """Starts a confusion matrix and a list of predictions of its own for every test."""
        self.confusion.reset()
        self.predictions.clear()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lets a run that was moved find its best checkpoint."""
        if self._trainer is not None and self._trainer.ckpt_path is not None and "paths" in self.config:
            directory = Path(self.config["paths"]["output_dir"]) / "checkpoints"
            relocate(checkpoint, directory, Path(self._trainer.ckpt_path))

    def configure_optimizers(self) -> Any:
        """Builds optimizer and scheduler as the configuration says."""
        optimizer = build_optimizer(self.network, self.config["optimizer"])
        total_steps = int(self.trainer.estimated_stepping_batches)
        scheduler = build_scheduler(optimizer, self.config["scheduler"], total_steps, self.trainer.max_epochs or 0)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _training_forward(self, images: int) -> Callable[[Tensor], Tensor]:
        """What computes the logits of a batch; compiled only now, since a compiled function can't be copied."""
        if self._compile_mode is None or self.stand_in is not None or images != self.config["data"]["batch_size"]:
            return self
        if self._compiled is None:
            self._compiled = torch.compile(self.forward, mode=self._compile_mode, dynamic=False)
        return self._compiled

    def _require_logits(self, logits: Tensor) -> None:
        if logits.shape[1:] != (self.classes,):
            raise UserError(
                f"num_classes={self.classes}: the network gives {list(logits.shape)} for {len(logits)} images, "
                f"must give {[len(logits), self.classes]}"
            )

    def _evaluate(self, batch: Batch, loss: MeanMetric, accuracy: MulticlassAccuracy) -> Tensor:
        images, labels = batch
        logits = self(images)
        self._require_logits(logits)
        loss.update(F.cross_entropy(logits, labels).expand(labels.numel()))
        accuracy.update(logits, labels)
        return logits

    def _log_epoch(self, prefix: str, loss: MeanMetric, accuracy: MulticlassAccuracy) -> None:
        # Computed values rather than the metric objects: computing already reduces over processes, their mean is the
        # same number.
        self.log_dict({f"{prefix}loss": loss.compute(), f"{prefix}acc": accuracy.compute()}, sync_dist=True)
        loss.reset()
        accuracy.reset()
