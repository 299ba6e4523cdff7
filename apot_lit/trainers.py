"""Building a Lightning Trainer from the configuration."""

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from apot_lit.errors import UserError


def build_trainer(options: dict[str, Any], **parts: Any) -> pl.Trainer:
    """Builds the Trainer.

    Args:
        options: options of `pytorch_lightning.Trainer` with the keys of `apot_lit.config.TrainerConfig`.
        **parts: what is not plain configuration, such as callbacks and loggers.

    Raises:
        UserError: for a device that is not there, and whatever else Lightning refuses.
    """
    if options["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError("trainer.accelerator=gpu: this machine has no CUDA GPU that torch can use; try trainer=cpu")
    if options["max_epochs"] < 1:
        raise UserError(f"trainer.max_epochs={options['max_epochs']}: must be at least 1")
    _quiet_lightning()
    try:
        return pl.Trainer(**options, enable_model_summary=False, use_distributed_sampler=False, **parts)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def _quiet_lightning() -> None:
    """Silences what Lightning says about every run and what does not apply to one whose data is on the device."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*is smaller than the logging interval.*",
        ".*Total length of .list. across ranks is zero.*",
        ".*isinstance.treespec, LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", message=message)
