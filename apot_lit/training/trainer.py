"""Building a Lightning Trainer from the configuration, and preparing a network for it."""

import inspect
import logging
import math
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from traceback import walk_tb
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from apot_lit.config.instantiate import check_types
from apot_lit.config.sections import TrainerConfig
from apot_lit.errors import UserError, unknown_key
from apot_lit.quant import keep_sums_exact, quant_layers
from apot_lit.training.checkpoint_io import AtomicCheckpointIO
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.sync_batch_norm import SharedBatchNorms

_BFLOAT16_BITS = 8
_OWN_OPTIONS = ("compile", "channels_last", "threads")
_SET_HERE = {"enable_model_summary": False, "use_distributed_sampler": False}
_SET_BY_CALLERS = ("callbacks", "logger", "default_root_dir")
_TYPED = [option.name for option in fields(TrainerConfig)]
_LIGHTNING = ("pytorch_lightning", "lightning_fabric")
_PACKAGES = (*_LIGHTNING, "apot_lit", "torch", "torchmetrics")


def prepare(classifier: QuantClassifier, options: dict[str, Any]) -> None:
    """Applies the options that are not Lightning's: threads, memory format and compilation of the training step.

    Convolutions and products of matrices in float32 are float32 from here on, gradients and compiled code included.

    Args:
        classifier: the module to prepare.
        options: the section ``trainer``, see `apot_lit.config.sections.TrainerConfig`.

    Raises:
        UserError: for codes that ``trainer.precision`` has no room for.
    """
    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    if options["precision"] == "bf16-mixed":
        _check_room(classifier)
    keep_sums_exact()
    cuda = torch.cuda.is_available() and options["accelerator"] != "cpu"
    if wants_channels_last(options, cuda):
        classifier.use_channels_last()
    if options["compile"]:
        if cuda or find_compiler() is not None:
            classifier.compile_training(compile_mode(cuda, options["accumulate_grad_batches"]))
        else:
            rank_zero_warn("trainer.compile=true: no C++ compiler was found (g++, clang++ or $CXX); not compiled")


def wants_channels_last(options: Mapping[str, Any], cuda: bool) -> bool:
    """Whether to use the channels-last memory format: as chosen, or with None where it is faster.

    Raises:
        UserError: if it is chosen for several processes, whose gradients then come out different from those of one.
    """
    devices, choice = options["devices"], options["channels_last"]
    one = len(devices) == 1 if isinstance(devices, list) else str(devices) == "1"
    several = not one or options["num_nodes"] > 1 or "ddp" in options["strategy"]
    if several and choice:
        raise UserError("trainer.channels_last=true: several processes don't train like one with it; leave it out")
    return (not several and (cuda or torch.backends.mkldnn.is_available())) if choice is None else bool(choice)


def build_trainer(options: dict[str, Any], **parts: Any) -> pl.Trainer:
    """Builds the Trainer.

    Args:
        options: those of `apot_lit.config.sections.TrainerConfig`, and any others of `pytorch_lightning.Trainer`.
        **parts: what is not plain configuration, such as callbacks and loggers; they go before `options`.

    Raises:
        UserError: for an unknown option, a device that is not there, and whatever else Lightning refuses.
    """
    check_names(options)
    check_types("trainer", pl.Trainer, {key: options[key] for key in options.keys() - set(_TYPED)})
    if options["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError("trainer.accelerator=gpu: this machine has no CUDA GPU that torch can use; try trainer=cpu")
    if options["precision"] == "bf16-mixed" and options["gradient_clip_val"] is not None:
        raise UserError("trainer.gradient_clip_val: Lightning clips gradients with trainer.precision=32-true alone")
    _quiet_lightning()
    lightning = {key: value for key, value in options.items() if key not in _OWN_OPTIONS}
    if options["accelerator"] == "auto" and not torch.cuda.is_available():
        lightning["accelerator"] = "cpu"  # Lightning would take Apple's GPU, which lacks float64
    shared = [SharedBatchNorms()] if options.get("sync_batchnorm") else []
    given = lightning.pop("plugins", None)
    own = [] if given is None else given if isinstance(given, list) else [given]
    plugins = [AtomicCheckpointIO(), *shared, *own]
    with _refusals():
        return _Trainer(**{**lightning, **_SET_HERE, **parts}, plugins=plugins)


class _Trainer(pl.Trainer):
    """Tells in one line what Lightning refuses only when it runs, such as a limit that leaves no batch."""

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Trains."""
        with _refusals():
            super().fit(*args, **kwargs)

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """Tests."""
        with _refusals():
            return super().test(*args, **kwargs)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turns what Lightning's own code raises about a value into a UserError."""
    try:
        yield
    except (MisconfigurationException, ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        if not isinstance(error, MisconfigurationException) and _raised_by(error) not in _LIGHTNING:
            raise
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def _raised_by(error: Exception) -> str:
    """The package, of those that take part in a training, whose code was the last one running."""
    packages = [str(frame.f_globals.get("__name__")).partition(".")[0] for frame, _ in walk_tb(error.__traceback__)]
    return next((name for name in reversed(packages) if name in _PACKAGES), "")


def check_names(options: Iterable[str]) -> None:
    """Checks the names of options of the section ``trainer``.

    Raises:
        UserError: for one that neither `TrainerConfig` nor Lightning's Trainer has.
    """
    lightning = inspect.signature(pl.Trainer).parameters.keys() - {*_SET_HERE, *_SET_BY_CALLERS}
    known = lightning | {*_TYPED}
    for name in options:
        if name not in known:
            raise UserError(unknown_key(f"trainer.{name}", known))


def compile_mode(cuda: bool, accumulated_batches: int = 1) -> str:
    """The mode of `torch.compile` for training steps: with CUDA graphs on a GPU.

    Graphs would overwrite the gradients of the last batch, so they are not for those that accumulate.
    """
    return "reduce-overhead" if cuda and accumulated_batches == 1 else "default"


def find_compiler() -> str | None:
    """Finds the C++ compiler that torch.compile needs: that of ``$CXX``, else g++ or clang++."""
    candidates = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    return next((path for name in candidates if (path := shutil.which(name))), None)


def _check_room(classifier: QuantClassifier) -> None:
    """Refuses codes that bfloat16 would round."""
    for name, layer in quant_layers(classifier.network):
        for kind, quantizer in (("input", layer.act_quantizer), ("weight", layer.weight_quantizer)):
            bits = getattr(quantizer, "significant_bits", 0)
            if bits > _BFLOAT16_BITS:
                size = "without a limit" if bits == math.inf else f"of {bits} significant bits"
                raise UserError(
                    f"trainer.precision=bf16-mixed: bfloat16 has {_BFLOAT16_BITS} significant bits, the {kind} of "
                    f"{name} has codes {size}; use trainer.precision=32-true, or fewer bits"
                )


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
