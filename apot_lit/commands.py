"""The commands: what ``apot-train`` and ``python train.py`` do, and the seven others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra

from apot_lit import cli
from apot_lit.config.devices import refuse_several_devices
from apot_lit.config.instantiate import build_all
from apot_lit.installed import CONF
from apot_lit.runs.lock import Taken
from apot_lit.runs.log import recording
from apot_lit.runs.text import percent


def _command(function: Callable[[dict[str, Any]], Any]) -> Callable[[], None]:
    """Makes a program of a function whose configuration is ``conf/<its name>.yaml``."""
    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name=function.__name__)(cli.job(function))

    def command() -> None:
        cli.run(main)

    command.__doc__ = function.__doc__
    return command


# What a command needs is imported when it runs: Lightning, torch and matplotlib take seconds.


@_command
def train(config: dict[str, Any]) -> float | None:
    """Trains and returns the validation accuracy, which a Hydra sweeper may optimise."""
    directory = Path(config["paths"]["output_dir"])
    if cli.in_multirun() and config["ckpt_path"] is None:
        from apot_lit.sweep.job import finished, half_done

        result = finished(config)
        if result is not None:
            print(f"{directory.name}: done already, {percent(result.get('test_accuracy'))} test", flush=True)
            return result.get("val_accuracy")
        config["ckpt_path"] = half_done(config)
    from apot_lit.training.fit import train
    from apot_lit.training.loggers import build_loggers
    from apot_lit.training.resume import resumed

    if config["ckpt_path"] is not None:
        config = resumed(config, cli.default_config(), cli.task_overrides())
    try:
        result = train(config, build_all(config["callbacks"], "callbacks"), build_loggers(config["logger"]))
    except Taken:
        if not cli.in_multirun():
            raise
        print(f"{directory.name}: another process trains it", flush=True)
        return None
    return result.get("val_accuracy")


@_command
def search(config: dict[str, Any]) -> None:
    """Searches bits of layers and other options: accuracy in validation against cost."""
    from apot_lit.search.study import require_optuna

    require_optuna()
    refuse_several_devices(config["trainer"], "a search")
    from apot_lit.search.conduct import search

    directory = Path(config["paths"]["output_dir"])
    own = [one for one in cli.task_overrides() if not one.lstrip("+~").startswith("search.")]
    with recording(_log(config, "search"), config):
        search(config["search"], directory, cli.composer("train", own))


@_command
def evaluate(config: dict[str, Any]) -> float | None:
    """Evaluates a checkpoint and returns the accuracy."""
    from apot_lit.evaluation.evaluate import evaluate
    from apot_lit.runtime.exported import open_exported

    with recording(_log(config, "evaluate"), config):
        accuracy: float | None = evaluate(config, open_exported).get("accuracy")
    return accuracy


@_command
def export(config: dict[str, Any]) -> None:
    """Exports a checkpoint as real integers, and verifies what it wrote."""
    from apot_lit.export.write import export

    with recording(_log(config, "export"), config):
        export(config)


@_command
def predict(config: dict[str, Any]) -> None:
    """Predicts the class of pictures, and draws what the network saw."""
    from apot_lit.predict.predict import predict

    with recording(_log(config, "predict"), config):
        predict(config)


@_command
def hardware(config: dict[str, Any]) -> None:
    """Writes arithmetic units in Verilog, simulates and synthesises them."""
    from apot_lit.hardware.produce import produce

    with recording(_log(config, "hardware"), config):
        produce(config)


@_command
def benchmark(config: dict[str, Any]) -> None:
    """Measures what quantised training costs, prints a table and writes ``benchmark.json``."""
    from apot_lit.benchmark.measure import benchmark

    with recording(_log(config, "benchmark"), config):
        benchmark(config, lambda overrides: cli.composer("train", overrides)({}))


@_command
def report(config: dict[str, Any]) -> None:
    """Collects the results and writes tables, pictures and one page."""
    from apot_lit.report.compose import report

    with recording(_log(config, "report"), config):
        report(config)


def _log(config: dict[str, Any], name: str) -> Path:
    return Path(config["paths"]["output_dir"]) / f"{name}.log"
