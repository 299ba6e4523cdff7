"""Time of a whole epoch through Lightning's Trainer, with callbacks and logger, against a bare loop."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from torch import Tensor

from apot_lit.benchmark.setting import SCHEMES, STANDARD_BIT, Setting
from apot_lit.benchmark.step_time import train_step
from apot_lit.benchmark.timing import Timer, ratio, summary
from apot_lit.config.instantiate import build_all
from apot_lit.config.sections import TrainerConfig
from apot_lit.data.datamodule import build_datamodule
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.optimizers import build_optimizer
from apot_lit.training.trainer import build_trainer, prepare

BLOCK_STEPS = 10


class InterleavedBlocks(pl.Callback):
    """Pauses the Trainer every few steps for as many steps of another loop, and times both.

    The Trainer's time runs from the start of the epoch to the end of training, the end of the epoch with its metrics
    and checkpoint included, without the pauses.

    Args:
        other: runs so many steps of the other loop.
        timer: its clock and synchronisation.

    Attributes:
        trainer_ms: the Trainer's time of each block.
        other_ms: the other loop's time of each block.
    """

    def __init__(self, other: Callable[[int], None], timer: Timer) -> None:
        self.other = other
        self.timer = timer
        self.trainer_ms: list[float] = []
        self.other_ms: list[float] = []
        self._resumed = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Runs the first block of the other loop, then lets the Trainer go."""
        self._run_other(trainer, 0)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Pauses the Trainer between blocks."""
        if batch_idx and batch_idx % BLOCK_STEPS == 0:
            self._pause()
            self._run_other(trainer, batch_idx)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends the last block."""
        self._pause()

    def _pause(self) -> None:
        self.timer.synchronize()
        self.trainer_ms.append(1000 * (self.timer.clock() - self._resumed))

    def _run_other(self, trainer: pl.Trainer, done: int) -> None:
        steps = min(BLOCK_STEPS, int(trainer.num_training_batches) - done)
        self.other_ms.append(1000 * self.timer.seconds(lambda: self.other(steps)))
        self._resumed = self.timer.clock()


def measure_epoch(setting: Setting) -> dict[str, Any]:
    """Times an epoch of the first configured network at APoT 5 bits.

    Returns:
        ``model``, ``steps``, the totals ``trainer_ms`` and ``bare_ms``, ``ratio`` of the totals, and ``block_ratio``
        with the quartiles over blocks of steps.
    """
    config, model = setting.config, setting.config["models"][0]
    print(f"epoch of {model} apot {STANDARD_BIT} bits", flush=True)
    parts = {
        "seed": config["seed"],
        "model": {"name": model, "width": config["width"]},
        "quant": {"bit": STANDARD_BIT, **SCHEMES["apot"]},
        **{section: config[section] for section in ("data", "optimizer", "scheduler")},
    }
    datamodule = build_datamodule(config)
    network = setting.network(model, "apot").train().to(memory_format=torch.channels_last)
    optimizer = build_optimizer(network, config["optimizer"])

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        yield from datamodule.train_dataloader()

    iterator = batches()

    def bare(steps: int) -> None:
        for _ in range(steps):
            train_step(network, optimizer, *next(iterator))

    blocks = InterleavedBlocks(bare, setting.timer)
    options = asdict(TrainerConfig(accelerator="gpu" if setting.device.type == "cuda" else "cpu", max_epochs=1))
    options["limit_val_batches"] = 0
    with tempfile.TemporaryDirectory() as directory:
        loggers = build_all(_moved(config["logger"], directory), "logger")
        callbacks = [
            callback
            for callback in build_all(_moved(config["callbacks"], directory), "callbacks")
            if not (isinstance(callback, ModelCheckpoint) and callback.monitor)  # there is no validation
            and (loggers or not isinstance(callback, LearningRateMonitor))
        ]
        trainer = build_trainer(options, callbacks=[*callbacks, blocks], logger=loggers, default_root_dir=directory)
        classifier = QuantClassifier(parts)
        prepare(classifier, {**options, "channels_last": True})
        trainer.fit(classifier, datamodule=datamodule)
    return {
        "model": model,
        "bit": STANDARD_BIT,
        "steps": trainer.global_step,
        "trainer_ms": sum(blocks.trainer_ms),
        "bare_ms": sum(blocks.other_ms),
        "ratio": sum(blocks.trainer_ms) / sum(blocks.other_ms),
        "block_ms": {"trainer": summary(blocks.trainer_ms), "bare": summary(blocks.other_ms)},
        "block_ratio": ratio(blocks.trainer_ms, blocks.other_ms),
    }


def _moved(targets: dict[str, Any], directory: str) -> dict[str, Any]:
    """The same callbacks or loggers, which write below another directory."""
    places = ("dirpath", "save_dir")
    return {
        name: {key: directory if key in places else value for key, value in target.items()}
        for name, target in targets.items()
    }
