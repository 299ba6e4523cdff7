"""Building a Lightning Trainer from the configuration, and preparing a network for it."""

import logging
import os
import shutil
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from apot_lit.classifier import QuantClassifier
from apot_lit.errors import UserError

PRECISIONS = ("32-true", "bf16-mixed")
_OWN_OPTIONS = ("compile", "channels_last", "threads")


def prepare(classifier: QuantClassifier, options: dict[str, Any]) -> None:
    """Applies the options that are not Lightning's: threads, memory format and compilation of the training step.

    Float32 convolutions on a GPU are float32: by default cuDNN rounds their inputs to TF32, which has no room for the
    codes of 8 bits.

    Args:
        classifier: the module to prepare.
        options: the section ``trainer``, see `apot_lit.config.TrainerConfig`.

    Raises:
        UserError: for a number of threads below 1.
    """
    threads = options["threads"]
    if threads is not None:
        if threads < 1:
            raise UserError(f"trainer.threads={threads}: must be at least 1")
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # for all of cuDNN: torch refuses to read it where its parts differ
    if options["channels_last"]:
        classifier.use_channels_last()
    if options["compile"]:
        cuda = torch.cuda.is_available() and options["accelerator"] != "cpu"
        if cuda or find_compiler() is not None:
            classifier.compile_training(compile_mode(cuda, options["accumulate_grad_batches"]))
        else:
            rank_zero_warn("trainer.compile=true: no C++ compiler was found (g++, clang++ or $CXX); not compiled")


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
    if options["precision"] not in PRECISIONS:
        raise UserError(f"trainer.precision={options['precision']}: must be one of {', '.join(PRECISIONS)}")
    if options["max_epochs"] < 1:
        raise UserError(f"trainer.max_epochs={options['max_epochs']}: must be at least 1")
    if options["precision"] == "bf16-mixed" and options["gradient_clip_val"] is not None:
        raise UserError("trainer.gradient_clip_val: Lightning clips gradients with trainer.precision=32-true alone")
    _quiet_lightning()
    try:
        lightning = {key: value for key, value in options.items() if key not in _OWN_OPTIONS}
        if options["accelerator"] == "auto" and not torch.cuda.is_available():
            lightning["accelerator"] = "cpu"  # Lightning would take Apple's GPU, which lacks float64
        return pl.Trainer(**lightning, enable_model_summary=False, use_distributed_sampler=False, **parts)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def compile_mode(cuda: bool, accumulated_batches: int = 1) -> str:
    """The mode of `torch.compile` for training steps: with CUDA graphs on a GPU.

    Graphs would overwrite the gradients of the last batch, so they are not for those that accumulate.
    """
    return "reduce-overhead" if cuda and accumulated_batches == 1 else "default"


def find_compiler() -> str | None:
    """Finds the C++ compiler that torch.compile needs: that of ``$CXX``, else g++ or clang++."""
    candidates = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    return next((path for name in candidates if (path := shutil.which(name))), None)


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
