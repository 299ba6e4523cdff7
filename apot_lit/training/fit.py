"""Training: builds the parts from a configuration, runs the Trainer, writes what came out."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.utilities import rank_zero_only

from apot_lit.data.datamodule import build_datamodule
from apot_lit.data.sample import training_sample
from apot_lit.errors import Interrupted, UserError
from apot_lit.models.build import with_inputs
from apot_lit.models.foreign import CALIBRATION_IMAGES, is_foreign
from apot_lit.quant import clipping_thresholds
from apot_lit.quant.histogram import weight_histogram
from apot_lit.runs.checkpoint import LAST_CHECKPOINT, checkpoints_of, load_checkpoint, load_network, network_state
from apot_lit.runs.contents import CONFIG
from apot_lit.runs.lock import exclusive
from apot_lit.runs.log import RUN_LOG, recording
from apot_lit.runs.provenance import commit, hardware, versions
from apot_lit.runs.result import METRICS_FILE, RESULT_FILE, result_table, write_json
from apot_lit.runs.schema import misfit, one_line
from apot_lit.training.callbacks import History, InitialThresholds, LastCheckpoint, WallClock
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.distillation import load_distillation
from apot_lit.training.loggers import closing, log_options
from apot_lit.training.opening import opening
from apot_lit.training.post_training import calibrate, write_untrained
from apot_lit.training.resume import how_to_go_on
from apot_lit.training.start import load_start
from apot_lit.training.testing import evaluate_split
from apot_lit.training.trainer import build_trainer, prepare

LOCK_FILE = ".run.lock"


def train(config: dict[str, Any], callbacks: Sequence[pl.Callback], loggers: Sequence[Logger]) -> dict[str, Any]:
    """Trains one network, tests its best checkpoint once (not with ``test=false``) and writes ``result.json``.

    The best checkpoint is the one with the highest validation accuracy; without a validation split it is the last.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.TrainConfig`.
        callbacks: what its section ``callbacks`` describes; those that need what the run lacks (validation images, a
            logger) are left out, and initial thresholds where ``quant.calibrate`` chooses them.
        loggers: what its section ``logger`` describes.

    Returns:
        The content of ``result.json``.

    Raises:
        UserError: for anything in the configuration that cannot work, and a loss that is no longer a number.
        Interrupted: after Ctrl-C, once the last checkpoint is safe.
    """
    foreign = [type(one).__name__ for one in callbacks if not isinstance(one, pl.Callback)]
    if foreign:
        raise UserError(f"callbacks: {', '.join(foreign)}: must be callbacks of Lightning")
    _refuse_to_leave_nothing(config["trainer"], callbacks)
    output_dir = Path(config["paths"]["output_dir"])
    if rank_zero_only.rank > 0:  # type: ignore[attr-defined]  # another process of a run that the first one has locked
        return _train(config, callbacks, loggers, output_dir)
    taken = f"{output_dir}: another run is writing there; give this one a directory of its own with hydra.run.dir=..."
    with exclusive(output_dir, LOCK_FILE, taken):
        _refuse_second_run(output_dir, config["ckpt_path"])
        with recording(output_dir / RUN_LOG, config), closing(loggers):
            return _train(config, callbacks, loggers, output_dir)


def _train(
    config: dict[str, Any], callbacks: Sequence[pl.Callback], loggers: Sequence[Logger], output_dir: Path
) -> dict[str, Any]:
    source = commit()  # now: the tree may change while the run goes on
    datamodule = build_datamodule(config)
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    if is_foreign(config):
        config = with_inputs(config, training_sample(config["data"], CALIBRATION_IMAGES))
    classifier = QuantClassifier(config, distillation=load_distillation(config))
    wrong = misfit(config, CONFIG)
    if wrong is not None:  # no checkpoint with it could be read again
        raise UserError(wrong)
    load_start(classifier, config)
    prepare(classifier, config["trainer"])
    usable = [
        callback
        for callback in callbacks
        if (datamodule.split_sizes["val"] or not (isinstance(callback, ModelCheckpoint) and callback.monitor))
        and (loggers or not isinstance(callback, LearningRateMonitor))
        and (config["quant"]["calibrate"] is None or not isinstance(callback, InitialThresholds))
    ]
    clock, history = WallClock(), History(output_dir / METRICS_FILE)
    parts = {"callbacks": [clock, history, *usable], "logger": list(loggers), "default_root_dir": output_dir}
    trainer = build_trainer(config["trainer"], **parts)
    for logger in loggers:
        log_options(logger, config)
    if trainer.is_global_zero:
        print(opening(config, classifier, datamodule.split_sizes, hardware(trainer.strategy.root_device)), flush=True)
    calibration_seconds = calibrate(trainer, classifier, datamodule, config)
    _fit(trainer, classifier, datamodule, config["ckpt_path"])
    # The training is what is profiled; torch's profiler can't tell of a test after it.
    trainer.profiler = PassThroughProfiler()  # type: ignore[attr-defined]
    epochs, steps = trainer.current_epoch, trainer.global_step
    scores: dict[str, Any] = {}
    try:
        with _told_to_stop():
            best = _best_checkpoint(trainer) if trainer.max_epochs else write_untrained(trainer)
            if best is not None:
                checkpoint = load_checkpoint(best)
                load_network(classifier.network, network_state(checkpoint), f"checkpoint {best}")
                scores = {
                    "best_epoch": checkpoint["epoch"] + 1 if trainer.max_epochs else 0,
                    **_scores(trainer, classifier, datamodule, config["test"]),
                }
    except (SystemExit, KeyboardInterrupt) as error:
        raise Interrupted(how_to_go_on(_last_checkpoint(trainer), complete=True)) from error
    if not trainer.is_global_zero:
        return {}
    result = {
        "config": config,
        "splits": datamodule.split_sizes,
        **scores,
        "clipping_thresholds": clipping_thresholds(classifier.network),
        "weight_histogram": weight_histogram(classifier.network),
        "history": history.curves(),
        "best_checkpoint": None if best is None else str(best),
        "epochs": epochs,
        "steps": steps,
        "wall_seconds": round(clock.seconds + calibration_seconds, 2),
        "parameters": sum(parameter.numel() for parameter in classifier.network.parameters()),
        "versions": versions(),
        "commit": source,
        "hardware": hardware(trainer.strategy.root_device),
    }
    write_json(output_dir / RESULT_FILE, result, config["paths"]["root_dir"])
    print(result_table(result))
    _print_written(trainer, output_dir)
    return result


def _refuse_second_run(output_dir: Path, ckpt_path: str | None) -> None:
    """A run must not write over another one."""
    own = ckpt_path is not None and Path(ckpt_path).resolve().is_relative_to(output_dir.resolve())
    if own or not ((output_dir / RESULT_FILE).exists() or checkpoints_of(output_dir)):
        return
    last = output_dir / LAST_CHECKPOINT
    go_on = f"go on with it by ckpt_path={last}, or " if ckpt_path is None and last.exists() else ""
    raise UserError(f"hydra.run.dir={output_dir}: holds a run already; {go_on}give this one another directory")


def _refuse_to_leave_nothing(trainer: Mapping[str, Any], callbacks: Sequence[pl.Callback]) -> None:
    """A choice such as ``callbacks=integer`` replaces the default ones, and with them all checkpoints."""
    wanted = trainer.get("enable_checkpointing") in (None, True) and not trainer["fast_dev_run"]
    if wanted and trainer["max_epochs"] and not any(isinstance(callback, Checkpoint) for callback in callbacks):
        raise UserError(
            "callbacks: none of them writes checkpoints, and the trained network would be lost; add to the default "
            "ones, as callbacks=[default,integer], or give trainer.enable_checkpointing=false"
        )


def _fit(
    trainer: pl.Trainer, classifier: QuantClassifier, datamodule: pl.LightningDataModule, ckpt_path: str | None
) -> None:
    """Runs the fit; Lightning answers Ctrl-C by exiting, here that becomes an exception that says how to go on."""
    try:
        trainer.fit(classifier, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
    except SystemExit as error:
        raise Interrupted(how_to_go_on(_last_checkpoint(trainer))) from error
    except (UserError, RuntimeError) as error:
        what = str(error)
        if isinstance(error, RuntimeError):
            if "conditioned on metric" not in what:  # of a callback of Lightning's, which looks after an epoch
                raise
            what = f"callbacks: {one_line(what)}"
        last = _last_checkpoint(trainer)
        kept = "no checkpoint was written yet" if last is None else f"the last good checkpoint is {last}"
        raise UserError(f"{what}; {kept}") from error


@contextmanager
def _told_to_stop() -> Iterator[None]:
    """A termination signal within is what Ctrl-C is; only the main thread of a process can be asked for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _best_checkpoint(trainer: pl.Trainer) -> Path | None:
    """Path of the checkpoint with the best monitored value, else of the last one, else None."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path:
            return Path(callback.best_model_path)
    return _last_checkpoint(trainer)


def _last_checkpoint(trainer: pl.Trainer) -> Path | None:
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, LastCheckpoint) and callback.written:
            return callback.path
    return None


def _scores(trainer: pl.Trainer, classifier: QuantClassifier, datamodule: Any, test: bool) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for split in ("train", "val", *(["test"] if test else [])):
        if datamodule.split_sizes[split]:
            evaluation = evaluate_split(trainer, classifier, datamodule, split)
            scores[f"{split}_accuracy"] = evaluation["accuracy"]
            scores[f"{split}_loss"] = evaluation["loss"]
            if split == "test":
                scores |= {key: evaluation[key] for key in ("confusion", "misclassified")}
    return scores


def _print_written(trainer: pl.Trainer, output_dir: Path) -> None:
    files = sorted(path for path in output_dir.rglob("*") if path.is_file() and not _is_hidden(path, output_dir))
    print("written:", *files, sep="\n  ")


def _is_hidden(path: Path, directory: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(directory).parts)
