"""What loggers are given: options, tags, histograms and pictures, under the same names whatever the logger."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import Tensor

from apot_lit.config.instantiate import build_all
from apot_lit.errors import UserError
from apot_lit.quant.ranges import as_written
from apot_lit.runs.protocol import SCHEME_NAMES, recipe, row

EXTRA = "loggers"
"""The extra of the package that brings what loggers need."""
_PACKAGES = {
    TensorBoardLogger: ("tensorboard",),
    WandbLogger: ("wandb",),
    MLFlowLogger: ("mlflow", "sqlalchemy", "alembic"),  # the last two for its store in SQLite
}
_BINS = 64


def build_loggers(targets: dict[str, Any]) -> list[Logger]:
    """Builds the loggers that the section ``logger`` of a configuration describes.

    Args:
        targets: class and arguments by name.

    Raises:
        UserError: for one whose package is not installed, or that cannot be built.
    """
    for name, target in targets.items():
        for kind, packages in _PACKAGES.items():
            missing = [package for package in packages if find_spec(package) is None]
            if missing and str(target["_target_"]).endswith(f".{kind.__name__}"):
                raise UserError(f"logger.{name}: needs {', '.join(missing)}; install apot-lit[{EXTRA}]")
    loggers: list[Logger] = build_all(targets, "logger")
    return loggers


@contextmanager
def closing(loggers: Sequence[Logger]) -> Iterator[None]:
    """Ends the runs of loggers; else the next job of a multirun would go on with the run of the one before."""
    try:
        yield
    finally:
        if any(isinstance(logger, WandbLogger) for logger in loggers):
            from wandb import finish

            finish()


def log_options(logger: Logger, config: Mapping[str, Any]) -> None:
    """Gives a logger every option under its name on the command line, and the tags of the run.

    The tags are ``recipe``, ``model``, ``scheme``, ``bit`` and ``seed``: texts ``tags/<tag>`` in TensorBoard,
    ``<tag>:<value>`` in W&B, tags in MLflow.

    Args:
        logger: TensorBoard, W&B and MLflow get both, others the options alone.
        config: plain, resolved configuration of a run.
    """
    logger.log_hyperparams(dict(_options(config)))
    tags = run_tags(config)
    if isinstance(logger, TensorBoardLogger):
        for tag, value in tags.items():
            logger.experiment.add_text(f"tags/{tag}", value, 0)
    elif isinstance(logger, WandbLogger):
        logger.experiment.tags = tuple(f"{tag}:{value}" for tag, value in tags.items())
    elif isinstance(logger, MLFlowLogger):
        for tag, value in tags.items():
            logger.experiment.set_tag(logger.run_id, tag, value)


def run_tags(config: Mapping[str, Any]) -> dict[str, str]:
    """What runs are looked for by: name of the recipe, network, scheme, bits and seed."""
    model, bit, scheme = row(config)
    named = {"recipe": recipe(config), "model": model, "scheme": SCHEME_NAMES[scheme]}
    return {**named, "bit": str(bit), "seed": str(config["seed"])}


def log_histogram(logger: Logger, name: str, values: Tensor, step: int) -> None:
    """Gives a logger the distribution of some values.

    TensorBoard and W&B keep histograms of 64 bins. MLflow gets a file ``<name>/<step>.json`` with ``bin_edges`` and
    ``bin_counts``. Others get nothing.

    Args:
        logger: the logger.
        name: of the histogram, with ``/`` between its parts.
        values: of any shape, at least one.
        step: of the optimizer.
    """
    array = values.detach().float().cpu().numpy().ravel()
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_histogram(name, array, step, bins=_BINS)
    elif isinstance(logger, WandbLogger | MLFlowLogger):
        counts, edges = np.histogram(array, bins=_BINS)
        if isinstance(logger, WandbLogger):
            from wandb import Histogram  # late: only there if this logger is

            logger.log_metrics({name: Histogram(np_histogram=(counts, edges))}, step)  # type: ignore[dict-item]
        else:
            table = {"bin_edges": edges.tolist(), "bin_counts": counts.tolist()}
            logger.experiment.log_dict(logger.run_id, table, f"{name}/{step}.json")


def log_picture(logger: Logger, name: str, figure: Figure, step: int) -> None:
    """Gives a logger a picture.

    TensorBoard and W&B keep pictures by step. MLflow gets a file ``<name>/<step>.png``. Others get nothing.

    Args:
        logger: the logger.
        name: of the picture, with ``/`` between its parts.
        figure: stays open.
        step: of the optimizer.
    """
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_figure(name, figure, step, close=False)
    elif isinstance(logger, WandbLogger):
        logger.log_image(name, [figure], step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_figure(logger.run_id, figure, f"{name}/{step}.png")


@contextmanager
def closed_after(figure: Figure) -> Iterator[Figure]:
    """Frees a figure when it was given away; pyplot would keep it."""
    try:
        yield figure
    finally:
        pyplot.close(figure)


def _options(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and all(str(name).isidentifier() for name in value):  # patterns are no names
            yield from _options(value, f"{prefix}{key}.")
        else:
            plain = isinstance(value, bool | int | float | str)
            yield f"{prefix}{key}", value if plain else as_written(value)
