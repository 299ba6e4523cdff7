"""Which results may stand in one row of a table: those that differ in nothing but their seed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from apot_lit.config import DataConfig, ModelConfig, TrainConfig, TrainerConfig
from apot_lit.optim_config import OPTIMIZER_SCHEMAS, SCHEDULER_SCHEMAS, ConstantConfig, SGDConfig
from apot_lit.quant.spec import FULL_PRECISION, QuantSpec

Difference = tuple[str, str]

_OPTIMIZERS = {schema.name: schema for schema in OPTIMIZER_SCHEMAS}
_SCHEDULERS = {schema.name: schema for schema in SCHEDULER_SCHEMAS}
_ROW = ("model.name", "quant.bit", "quant.power", "quant.additive")
# Where a run computes and what it writes changes rounding at most.
_NEUTRAL = (
    "data.data_dir",
    *(f"trainer.{key}" for key in ("compile", "channels_last", "threads", "accelerator", "strategy", "profiler")),
    *(f"trainer.{key}" for key in ("log_every_n_steps", "num_sanity_val_steps", "deterministic", "detect_anomaly")),
)
_CHECKPOINT = "pytorch_lightning.callbacks.ModelCheckpoint"
_NEUTRAL_CALLBACKS = (
    *(_CHECKPOINT, "pytorch_lightning.callbacks.LearningRateMonitor"),
    *(f"apot_lit.callbacks.{name}" for name in ("ClippingThresholds", "FiniteLoss", "TrainingProgress")),
)
# The usual choice of the checkpoint that is tested, and options that do not take part in it.
_CHOICE = {"monitor": "val/acc", "mode": "max"}
_NO_CHOICE = ("_target_", "dirpath", "filename", "auto_insert_metric_name", "enable_version_counter", "verbose")


SCHEME_NAMES = {"apot": "APoT", "uniform": "uniform", "pot": "PoT", "float": "float32"}


class Row(NamedTuple):
    """What a table has one row for."""

    model: str
    bit: int
    scheme: str


def row(config: Mapping[str, Any]) -> Row:
    """The row that a run's resolved configuration belongs to; the scheme is apot, pot, uniform or float."""
    quant = config["quant"]
    scheme = "uniform" if quant["power"] == 0 else "apot" if quant.get("additive", True) else "pot"
    return Row(config["model"]["name"], quant["bit"], "float" if quant["bit"] == FULL_PRECISION else scheme)


def protocol(config: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Everything besides `row` and seed by which a run may end elsewhere: its differences from the defaults.

    Args:
        config: resolved configuration of a run, perhaps of an older version: options it lacks had their default, and
            those unknown today had no effect unless set to something.

    Returns:
        Sorted pairs of key and value as text. Results of equal protocol, row and seed are repetitions of each other.
    """
    defaults = dict(_flat(_defaults(config)))
    differences = {}
    for key, value in _flat({section: config.get(section) for section in _SECTIONS}):
        usual = _text(value) == _text(defaults[key]) if key in defaults else not value
        if not usual and key not in (*_ROW, *_NEUTRAL):
            differences[key] = _text(value)
    callbacks = config.get("callbacks") or {}
    differences |= _choice(callbacks)
    for name, options in callbacks.items():
        if options.get("_target_") not in _NEUTRAL_CALLBACKS:
            differences |= {f"callbacks.{name}.{key}": _text(value) for key, value in options.items()}
    for key in ("init_from", "distill_from"):
        if config.get(key) is not None:
            differences[key] = _text(config[key])
    if config.get("distill_from") is not None:
        differences |= {key: _text(config[key]) for key in ("distill_weight", "distill_temperature")}
    return tuple(sorted(differences.items()))


_SECTIONS = ("model", "quant", "data", "optimizer", "scheduler", "trainer")


def recipe(config: Mapping[str, Any]) -> str:
    """The name of the recipe, for people; `protocol` says what it stands for."""
    return str(config.get("recipe", TrainConfig.recipe))


def _choice(callbacks: Mapping[str, Any]) -> dict[str, str]:
    """How the checkpoint that is tested was chosen: the first monitored one, else the last; nothing if as usual."""
    written = [options for options in callbacks.values() if options.get("_target_") == _CHECKPOINT]
    if not written:
        return {}
    options: Mapping[str, Any] = next((one for one in written if one.get("monitor")), {})
    keys = sorted({*options, *_CHOICE} - {*_NO_CHOICE})
    return {f"checkpoint.{key}": _text(options.get(key)) for key in keys if options.get(key) != _CHOICE.get(key)}


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    optimizer, scheduler = config["optimizer"]["name"], config["scheduler"]["name"]
    sections = {
        "model": asdict(ModelConfig()),
        "quant": asdict(QuantSpec()),
        "data": asdict(DataConfig()),
        "optimizer": asdict(_OPTIMIZERS[optimizer]()),
        "scheduler": asdict(_SCHEDULERS[scheduler]()),
        "trainer": asdict(TrainerConfig()),
    }
    # The defaults are those of one optimizer and scheduler; another one is a difference.
    sections["optimizer"]["name"], sections["scheduler"]["name"] = SGDConfig.name, ConstantConfig.name
    return sections


def _flat(sections: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, options in sections.items():
        for key, value in (options or {}).items():
            yield f"{section}.{key}", value


def _text(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple | list) else str(value)
