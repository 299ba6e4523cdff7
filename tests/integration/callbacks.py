"""Callbacks that disturb a training or look at it."""

import pytorch_lightning as pl
import torch


class InterruptAtStep(pl.Callback):
    """Presses Ctrl-C, so to speak, at a training step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


class SameInEveryProcess(pl.Callback):
    """Compares what the processes have trained."""

    def on_train_end(self, trainer, pl_module):
        trained = torch.cat([parameter.detach().flatten() for parameter in pl_module.network.parameters()])
        everywhere = pl_module.all_gather(trained)
        assert everywhere.shape == (trainer.world_size, len(trained))
        assert (everywhere == trained).all()


class PoisonAtStep(pl.Callback):
    """Makes a weight NaN after a training step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == self.step:
            pl_module.network.fc.bias.data[0] = float("nan")
