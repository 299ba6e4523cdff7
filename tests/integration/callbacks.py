"""Callbacks that disturb a training or look at it."""

import os
import signal
from typing import ClassVar

import pytorch_lightning as pl
import torch


class InterruptAtStep(pl.Callback):
    """Presses Ctrl-C at a training step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


class SameInEveryProcess(pl.Callback):
    """Compares what the processes train and evaluate: all that the network holds."""

    def on_train_start(self, trainer, pl_module):
        self.compare(trainer, pl_module, pl_module.network.named_parameters())

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_index):
        if batch_index == 0:
            self.compare(trainer, pl_module, pl_module.network.state_dict().items())

    def on_train_end(self, trainer, pl_module):
        self.compare(trainer, pl_module, pl_module.network.named_parameters())

    def compare(self, trainer, pl_module, tensors):
        for name, here in tensors:
            everywhere = [torch.empty_like(here) for _ in range(trainer.world_size)]
            torch.distributed.all_gather(everywhere, here.detach())
            assert len(everywhere) > 1
            assert all(torch.equal(there, here) for there in everywhere), name


class OtherImagesInTheLastProcess(pl.Callback):
    """Gives the last process other images to choose thresholds and to estimate batch norms with.

    As if its hardware computed other sums, only more so.
    """

    def setup(self, trainer, pl_module, stage):
        eval_loader = trainer.datamodule.eval_loader

        def other(split, shared=True):
            loader = eval_loader(split, shared)
            if not shared:
                loader.images = loader.images // 2
            return loader

        if trainer.global_rank == trainer.world_size - 1:
            trainer.datamodule.eval_loader = other


class PoisonAtStep(pl.Callback):
    """Makes a weight NaN after a training step, in one process or in all."""

    def __init__(self, step: int, rank: int | None = None) -> None:
        self.step = step
        self.rank = rank

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == self.step and self.rank in (None, trainer.global_rank):
            pl_module.network.fc.bias.data[0] = float("nan")


class RecordLosses(pl.Callback):
    """Remembers the loss of every training batch of the run that began last."""

    last: ClassVar[list[float]] = []

    def on_train_start(self, *_):
        self.last.clear()

    def on_train_batch_end(self, trainer, pl_module, outputs, *_):
        self.last.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
