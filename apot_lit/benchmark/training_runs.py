"""What trainings take: short ones in processes of their own, as a user starts them, timed from outside."""

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from apot_lit.benchmark.other_work import now, other_work
from apot_lit.benchmark.setting import Setting
from apot_lit.config.overrides import override
from apot_lit.errors import UserError
from apot_lit.installed import CLONE
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.runs.contents import read_json
from apot_lit.runs.protocol import row
from apot_lit.runs.result import METRICS_FILE, RESULT_FILE, SECONDS
from apot_lit.runs.text import percent

Compose = Callable[[Sequence[str]], Mapping[str, Any]]
"""From overrides to the plain configuration of train.py, with UserError for wrong ones."""
QUIET = 0.05
"""The share of other work above which a measurement says little."""


@dataclass(frozen=True)
class Training:
    """One training to measure.

    Attributes:
        name: for messages.
        overrides: what a user would type after ``train.py``.
        config: what these make.
    """

    name: str
    overrides: tuple[str, ...]
    config: Mapping[str, Any]


def measure_trainings(setting: Setting, compose: Compose) -> dict[str, Any]:
    """Trains every network by every recipe for a few epochs, one training at a time.

    Returns:
        ``rows``, one for each recipe, network and number of bits.

    Raises:
        UserError: for a recipe that is none, before anything is measured; where a training fails.
    """
    config = setting.config
    bits = [FULL_PRECISION, *config["apot_bits"]]
    trainings = [
        _training(setting, recipe, model, bit, compose)
        for recipe in config["trainings"]
        for model in config["models"]
        for bit in bits
    ]
    return {"rows": [_measured(training, config["epochs"]) for training in trainings]}


def _training(setting: Setting, recipe: str, model: str, bit: int, compose: Compose) -> Training:
    config = setting.config
    levels = "quant=float" if bit == FULL_PRECISION else f"quant.bit={bit}"
    images = config["data"]["train_images"]
    overrides = (
        *(override("experiment", recipe), f"model={model}", levels, f"model.width={config['width']}"),
        *(f"seed={config['seed']}", f"trainer.accelerator={'gpu' if setting.device.type == 'cuda' else 'cpu'}"),
        *(override("data.data_dir", config["data"]["data_dir"]), f"data.train_images={images or 'null'}"),
        "test=false",
    )
    composed = compose(overrides)
    if not composed["trainer"]["max_epochs"]:
        raise UserError(f"trainings={config['trainings']}: {recipe} trains no epoch; there is nothing to measure")
    return Training(f"{recipe} {model} {levels}", overrides, composed)


def _measured(training: Training, epochs: int) -> dict[str, Any]:
    """Runs a training and reads what it wrote.

    Its table of metrics is written last at the end of the last epoch, which is the only moment needed of within.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "run"
        command = [*_program(), *training.overrides, f"trainer.max_epochs={epochs}"]
        before, began = now(), time.time()
        done = subprocess.run(
            [*command, override("hydra.run.dir", directory)],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        ended, share = time.time(), other_work(before, now())
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no word of why"])[-1].removeprefix("error: ")
            raise UserError(f"the training {training.name} failed: {said}")
        table = directory / METRICS_FILE
        with table.open(newline="") as file:
            seconds = [float(line[SECONDS]) for line in csv.DictReader(file)]
        result = read_json(directory / RESULT_FILE)
        trained = table.stat().st_mtime
    times = run_times(
        seconds, began, trained, ended, result["splits"]["train"], training.config["trainer"]["max_epochs"]
    )
    kind = row(training.config)
    _tell(training.name, times, share)
    return {
        **{"recipe": training.config["recipe"], "model": kind.model, "scheme": kind.scheme, "bit": kind.bit},
        **{"width": training.config["model"]["width"], "images": result["splits"]["train"], **times},
        **{"other_work": share, "hardware": result["hardware"]},
    }


def run_times(
    seconds: Sequence[float], began: float, trained: float, ended: float, images: int, epochs: int
) -> dict[str, Any]:
    """What a whole run takes, by the times of a short one.

    An epoch takes the median of those after the first one, which warms up, if there are any. The whole run takes
    ``start + epochs * epoch + end``.

    Args:
        seconds: of each epoch, its validation included.
        began: when the process started.
        trained: when the last epoch ended.
        ended: when the process ended.
        images: in an epoch.
        epochs: of the whole run.

    Raises:
        UserError: if an epoch is too short for its clock.
    """
    epoch = median(seconds[1:] or seconds)
    if epoch <= 0:
        raise UserError("data.train_images: an epoch takes no time that can be measured; give more images")
    start, end = max(0.0, trained - began - sum(seconds)), ended - trained
    return {
        **{"epoch_seconds": list(seconds), "start_seconds": round(start, 2), "end_seconds": round(end, 2)},
        **{"images_per_second": images / epoch, "epochs": epochs, "minutes": (start + epochs * epoch + end) / 60},
    }


def _program() -> list[str]:
    if CLONE is None:
        return [str(Path(sys.executable).with_name("apot-train"))]
    return [sys.executable, str(CLONE / "train.py")]


def _tell(name: str, times: Mapping[str, Any], share: float | None) -> None:
    print(f"{name}: {times['images_per_second']:,.0f} images/s, {times['minutes']:.1f} min a run", flush=True)
    if share is not None and share > QUIET:
        print(f"warning: {percent(share)} of the processors' time was other work's", flush=True)
