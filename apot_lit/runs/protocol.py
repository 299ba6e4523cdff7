"""Which results may stand in one row of a table: those that differ in nothing but their seed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from apot_lit.config.schemas import TrainConfig
from apot_lit.config.sections import (
    OPTIMIZER_SCHEMAS,
    SCHEDULER_SCHEMAS,
    ConstantConfig,
    DataConfig,
    ModelConfig,
    QuantConfig,
    SGDConfig,
    TrainerConfig,
)
from apot_lit.quant.spec import QuantSpec

Difference = tuple[str, str]

_OPTIMIZERS = {schema.name: schema for schema in OPTIMIZER_SCHEMAS}
_SCHEDULERS = {schema.name: schema for schema in SCHEDULER_SCHEMAS}
_SECTIONS = ("model", "quant", "data", "optimizer", "scheduler", "trainer")
_ROW = ("model.name", "quant.bit", "quant.power", "quant.additive")
# Where a run computes and what it writes changes rounding at most.
NEUTRAL = (
    *("data.data_dir", "data.download"),
    *(f"trainer.{key}" for key in ("compile", "channels_last", "threads", "accelerator", "strategy", "profiler")),
    *(f"trainer.{key}" for key in ("log_every_n_steps", "num_sanity_val_steps", "deterministic", "detect_anomaly")),
    "trainer.benchmark",
)
_CHECKPOINT = "pytorch_lightning.callbacks.ModelCheckpoint"
OWN_CALLBACKS = "apot_lit.training.callbacks."
_OWN_CALLBACKS_ONCE = "apot_lit.callbacks."  # where results and checkpoints of version 0.1.0 have them
_LAST_CHECKPOINT = f"{OWN_CALLBACKS}LastCheckpoint"
_NEUTRAL_CALLBACKS = (
    *(_CHECKPOINT, "pytorch_lightning.callbacks.LearningRateMonitor"),
    *(f"{OWN_CALLBACKS}{name}" for name in ("ClippingThresholds", "FiniteLoss", "LastCheckpoint")),
    *(f"{OWN_CALLBACKS}{name}" for name in ("Snapshots", "TrainingProgress")),
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
    known = {option.name for option in fields(QuantSpec)}
    spec = QuantSpec(**{key: value for key, value in config["quant"].items() if key in known})
    return Row(config["model"]["name"], spec.bit, "float" if spec.full_precision else spec.scheme)


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
        if not usual and key not in (*_ROW, *NEUTRAL):
            differences[key] = _text(value)
    if "data.elastic" not in differences:  # its smoothing is of no use then
        differences.pop("data.elastic_sigma", None)
    callbacks = callbacks_of(config)
    differences |= _choice(callbacks)
    for name, options in callbacks.items():
        if not is_neutral_callback(options["_target_"]):
            differences |= {f"callbacks.{name}.{key}": _text(value) for key, value in options.items()}
    root = str((config.get("paths") or {}).get("root_dir", "."))
    for key in ("init_from", "distill_from"):
        if config.get(key) is not None:  # result files have paths below the root without it
            differences[key] = _text(config[key]).removeprefix(f"{root}/")
    if config.get("distill_from") is not None:
        differences |= {key: _text(config[key]) for key in ("distill_weight", "distill_temperature")}
    if smoothing := config.get("label_smoothing", TrainConfig.label_smoothing):
        differences["label_smoothing"] = _text(smoothing)
    return tuple(sorted(differences.items()))


def callbacks_of(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The section ``callbacks`` of a run, perhaps of an older version, with the classes' names of today."""

    def current(target: str) -> str:
        once = target.startswith(_OWN_CALLBACKS_ONCE)
        return OWN_CALLBACKS + target.removeprefix(_OWN_CALLBACKS_ONCE) if once else target

    callbacks = config.get("callbacks") or {}
    return {name: {**options, "_target_": current(options["_target_"])} for name, options in callbacks.items()}


def is_neutral_callback(target: str) -> bool:
    """Whether a callback of this class changes nothing about how a run ends."""
    return target in _NEUTRAL_CALLBACKS


def is_untrained(config: Mapping[str, Any]) -> bool:
    """Whether a run was one of no epochs, whose network was only read, perhaps calibrated, and tested."""
    return (config.get("trainer") or {}).get("max_epochs") == 0


def recipe(config: Mapping[str, Any]) -> str:
    """The name of the recipe, for people; `protocol` says what it stands for."""
    return str(config.get("recipe", TrainConfig.recipe))


def _choice(callbacks: Mapping[str, Any]) -> dict[str, str]:
    """How the checkpoint that is tested was chosen: the first monitored one, else the last; nothing if as usual."""
    written = [options for options in callbacks.values() if options["_target_"] in (_CHECKPOINT, _LAST_CHECKPOINT)]
    if not written:
        return {}
    options: Mapping[str, Any] = next((one for one in written if one.get("monitor")), {})
    keys = sorted({*options, *_CHOICE} - {*_NO_CHOICE})
    return {f"checkpoint.{key}": _text(options.get(key)) for key in keys if options.get(key) != _CHOICE.get(key)}


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    optimizer, scheduler = config["optimizer"]["name"], config["scheduler"]["name"]
    sections = {
        "model": asdict(ModelConfig()),
        "quant": asdict(QuantConfig()),
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
            name = f"{section}.{key}"
            yield name, _device_count(value) if name == "trainer.devices" else value


def _device_count(devices: Any) -> Any:
    """How many devices Lightning's Trainer takes for a value of its ``devices``, whichever they are."""
    if isinstance(devices, str) and "," in devices:
        devices = [number for number in devices.split(",") if number.strip()]
    return len(devices) if isinstance(devices, list | tuple) else devices


def _text(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple | list) else str(value)
