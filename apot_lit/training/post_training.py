"""Quantising a trained network before its training, or without any: thresholds, rounding, batch norms."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.optim.swa_utils import update_bn

from apot_lit.data.datamodule import ImageDataModule
from apot_lit.quant.initialize import initialize_alphas
from apot_lit.quant.rounding import learn_all_roundings
from apot_lit.quant.spec import spec_of
from apot_lit.training.callbacks import LastCheckpoint
from apot_lit.training.classifier import QuantClassifier


def calibrate(
    trainer: pl.Trainer, classifier: QuantClassifier, datamodule: ImageDataModule, config: dict[str, Any]
) -> float:
    """Fits a network to the first batches of training images, not augmented, where ``quant.calibrate`` says so.

    Clipping thresholds come from `initialize_alphas`, levels from `learn_all_roundings` if ``quant.rounding`` is
    learned, and batch-norm statistics are then estimated anew. A training that is resumed has all that in its weights.

    Args:
        trainer: says on which device.
        classifier: whose network is fitted.
        datamodule: has the images.
        config: plain, resolved configuration of a run.

    Returns:
        How many seconds that took.
    """
    spec, how = spec_of(config["quant"])
    if how.calibrate is None or spec.full_precision or config["ckpt_path"] is not None:
        return 0.0
    started = time.monotonic()
    datamodule.trainer = trainer
    batch_size = config["data"]["batch_size"]
    images = datamodule.calibration_images(how.calibrate * batch_size)
    network = classifier.network.to(images.device)
    initialize_alphas(network, images)
    if how.rounding == "learned":
        learn_all_roundings(network, images)
    update_bn(images.split(batch_size), network)
    return time.monotonic() - started


def write_untrained(trainer: pl.Trainer) -> Path | None:
    """Writes the checkpoints that a training of no epochs does not write.

    Returns:
        The best one, which is like the last one; None if no callback writes any.
    """
    written: list[Path] = []
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, LastCheckpoint):
            written.append(callback.path)
            callback.written = True
        elif isinstance(callback, ModelCheckpoint) and callback.monitor:
            written.insert(0, Path(callback.format_checkpoint_name({})))
    for path in written:
        trainer.save_checkpoint(path, weights_only=False)
    return written[0] if written else None
