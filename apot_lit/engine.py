"""Training: builds the parts from a configuration, runs the Trainer, writes what came out."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from apot_lit.build import build_datamodule
from apot_lit.callbacks import WallClock
from apot_lit.checkpoint import (
    checkpoint_config,
    load_checkpoint,
    load_network,
    network_state,
    read_file,
    require_config,
)
from apot_lit.classifier import QuantClassifier
from apot_lit.config import build_all
from apot_lit.data.mnist import MAX_SEED
from apot_lit.distillation import load_distillation
from apot_lit.errors import Interrupted, UserError
from apot_lit.evaluation import evaluate_split
from apot_lit.history import read_history
from apot_lit.interop.reference import is_reference, reference_state
from apot_lit.optim import SCHEDULERS_BY_STEP
from apot_lit.protocol import protocol, row
from apot_lit.quant import clipping_thresholds
from apot_lit.quant.histogram import weight_histogram
from apot_lit.results import commit, hardware, percent, text_table, versions, write_json
from apot_lit.trainers import build_trainer, prepare

RESULT_FILE = "result.json"


def train(config: dict[str, Any]) -> dict[str, Any]:
    """Trains one network, tests its best checkpoint once and writes ``result.json``.

    The best checkpoint is the one with the highest validation accuracy; without a validation split it is the last.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.TrainConfig`.

    Returns:
        The content of ``result.json``.

    Raises:
        UserError: for anything in the configuration that cannot work, and a loss that is no longer a number.
        Interrupted: after Ctrl-C, once the last checkpoint is safe.
    """
    if not 0 <= config["seed"] <= MAX_SEED:
        raise UserError(f"seed={config['seed']}: must be from 0 to {MAX_SEED}")
    source = commit()  # now: the tree may change while the run goes on
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    output_dir = Path(config["paths"]["output_dir"])
    datamodule = build_datamodule(config["data"], config["seed"])
    classifier = QuantClassifier(config, distillation=load_distillation(config))
    _load_start(classifier, config)
    prepare(classifier, config["trainer"])
    loggers = build_all(config["logger"])
    callbacks = [
        callback
        for callback in build_all(config["callbacks"])
        if (datamodule.split_sizes["val"] or not (isinstance(callback, ModelCheckpoint) and callback.monitor))
        and (loggers or not isinstance(callback, LearningRateMonitor))
    ]
    for logger in loggers:
        logger.log_hyperparams(config)
    clock = WallClock()
    trainer = build_trainer(
        config["trainer"], callbacks=[*callbacks, clock], logger=loggers, default_root_dir=output_dir
    )
    _fit(trainer, classifier, datamodule, config["ckpt_path"])

    best = _best_checkpoint(trainer)
    epochs, steps = trainer.current_epoch, trainer.global_step
    scores: dict[str, Any] = {}
    if best is not None:
        checkpoint = load_checkpoint(best)
        load_network(classifier.network, network_state(checkpoint), f"checkpoint {best}")
        scores = {"best_epoch": checkpoint["epoch"] + 1, **_scores(trainer, classifier, datamodule)}
    if not trainer.is_global_zero:
        return {}
    result = {
        "config": config,
        "splits": datamodule.split_sizes,
        **scores,
        "clipping_thresholds": clipping_thresholds(classifier.network),
        "weight_histogram": weight_histogram(classifier.network),
        "history": read_history(output_dir),
        "best_checkpoint": None if best is None else str(best),
        "epochs": epochs,
        "steps": steps,
        "wall_seconds": round(clock.seconds, 2),
        "parameters": sum(parameter.numel() for parameter in classifier.network.parameters()),
        "versions": versions(),
        "commit": source,
        "hardware": hardware(trainer.strategy.root_device),
    }
    write_json(output_dir / RESULT_FILE, result, config["paths"]["root_dir"])
    print(result_table([result]))
    _print_written(trainer, output_dir)
    return result


def result_table(results: list[dict[str, Any]]) -> str:
    """Formats the results of one or more trainings as a table for the terminal."""
    rows = []
    for result in results:
        rows.append(
            [
                *row(result["config"]),
                result["config"]["seed"],
                result["epochs"],
                *(percent(result.get(f"{split}_accuracy")) for split in ("train", "val", "test")),
                f"{result['wall_seconds']:.0f} s",
            ]
        )
    return text_table(rows, ["model", "bit", "scheme", "seed", "epochs", "train", "val", "test", "time"])


def _load_start(classifier: QuantClassifier, config: dict[str, Any]) -> None:
    """Checks the checkpoint to resume from, or loads the weights to start from."""
    if config["ckpt_path"] is not None:
        where = f"ckpt_path={config['ckpt_path']}"
        if config["init_from"] is not None:
            raise UserError(f"init_from={config['init_from']}: give either init_from or ckpt_path, not both")
        checkpoint = load_checkpoint(config["ckpt_path"])
        _check_unchanged(checkpoint_config(checkpoint), config, where)
        load_network(classifier.network, network_state(checkpoint), where)
    elif config["init_from"] is not None:
        where = f"init_from={config['init_from']}"
        checkpoint = read_file(config["init_from"], "init_from")
        if is_reference(checkpoint):
            state = reference_state(checkpoint)
        else:
            require_config(checkpoint, where)
            state = network_state(checkpoint)
        load_network(classifier.network, state, where, allow_alphas=True)


def _check_unchanged(before: dict[str, Any], config: dict[str, Any], where: str) -> None:
    """Refuses options that would make a resumed run end elsewhere than the run that it goes on with."""
    for section in ("model", "quant", "data", "optimizer", "scheduler"):
        for key, value in config[section].items():
            was = before[section].get(key, value)
            if was != value and key != "data_dir":
                raise UserError(f"{where}: was trained with {section}.{key}={was}, to resume it give the same")
    epochs, scheduler = before["trainer"]["max_epochs"], config["scheduler"]["name"]
    if scheduler in SCHEDULERS_BY_STEP and config["trainer"]["max_epochs"] != epochs:
        raise UserError(
            f"{where}: was trained with trainer.max_epochs={epochs}, which scheduler={scheduler} depends on, "
            "to resume it give the same"
        )
    then, now = _by_callbacks(before), _by_callbacks(config)
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            name = key.removesuffix("._target_")
            had = f"with {name}={then[key]}" if key in then else f"without {name}"
            raise UserError(f"{where}: was trained {had}, to resume it give the same")


def _by_callbacks(config: dict[str, Any]) -> dict[str, str]:
    """What callbacks and distillation have to do with how a run ends: ours, and what the best checkpoint is best in.

    A user's own callbacks may come and go.
    """
    ours: list[str] = []
    monitored: dict[str, str] = {}
    for name, options in config["callbacks"].items():
        if options["_target_"].startswith("apot_lit.callbacks."):
            ours.append(f"callbacks.{name}.")
        elif options["_target_"].endswith(".ModelCheckpoint") and options.get("monitor"):
            monitored |= {f"callbacks.{name}.{key}": str(options.get(key, "min")) for key in ("monitor", "mode")}
    differences = {key: value for key, value in protocol(config) if key.startswith((*ours, "distill_"))}
    return {**differences, **monitored}


def _fit(
    trainer: pl.Trainer, classifier: QuantClassifier, datamodule: pl.LightningDataModule, ckpt_path: str | None
) -> None:
    """Runs the fit; Lightning answers Ctrl-C by exiting, here that becomes an exception that says how to go on."""
    try:
        trainer.fit(classifier, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
    except SystemExit as error:
        raise Interrupted(_last_checkpoint(trainer)) from error
    except MisconfigurationException as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error
    except UserError as error:
        last = _last_checkpoint(trainer)
        kept = "no checkpoint was written yet" if last is None else f"the last good checkpoint is {last}"
        raise UserError(f"{error}; {kept}") from error


def _checkpoint_callbacks(trainer: pl.Trainer) -> list[ModelCheckpoint]:
    return [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]


def _best_checkpoint(trainer: pl.Trainer) -> Path | None:
    """Path of the checkpoint with the best monitored value, else of the last one, else None."""
    monitored = [c.best_model_path for c in _checkpoint_callbacks(trainer) if c.monitor and c.best_model_path]
    return Path(monitored[0]) if monitored else _last_checkpoint(trainer)


def _last_checkpoint(trainer: pl.Trainer) -> Path | None:
    for callback in _checkpoint_callbacks(trainer):
        if callback.monitor is None and callback.best_model_path:
            return Path(callback.best_model_path)
    return None


def _scores(trainer: pl.Trainer, classifier: QuantClassifier, datamodule: Any) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        if datamodule.split_sizes[split]:
            evaluation = evaluate_split(trainer, classifier, datamodule, split)
            scores[f"{split}_accuracy"] = evaluation["accuracy"]
            scores[f"{split}_loss"] = evaluation["loss"]
    scores |= {key: evaluation[key] for key in ("confusion", "misclassified")}  # of the test images
    return scores


def _print_written(trainer: pl.Trainer, output_dir: Path) -> None:
    files = sorted(path for path in output_dir.rglob("*") if path.is_file() and ".hydra" not in path.parts)
    print("written:", *files, sep="\n  ")
