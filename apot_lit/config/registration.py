"""Schemas and resolvers for Hydra, and a composed configuration as plain containers."""

import re
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from apot_lit.config.schemas import (
    BenchmarkConfig,
    EvaluateConfig,
    ExportConfig,
    HardwareConfig,
    PredictConfig,
    ReportConfig,
    TrainConfig,
)
from apot_lit.config.sections import MODEL_SCHEMAS, OPTIMIZER_SCHEMAS, SCHEDULER_SCHEMAS
from apot_lit.errors import UserError, unknown_key
from apot_lit.quant.ranges import as_written, check, ranges_of

SCHEMAS = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "predict": PredictConfig,
    "report": ReportConfig,
    "benchmark": BenchmarkConfig,
    "hardware": HardwareConfig,
}

_LONGEST_NAME = 100
_TARGETS = ("callbacks", "logger")  # sections of what Hydra instantiates


def register() -> None:
    """Registers schemas and resolvers with Hydra; calling it again changes nothing."""
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        node = OmegaConf.structured(schema)
        if "trainer" in node:
            OmegaConf.set_struct(node.trainer, False)  # takes any option of Lightning's Trainer, which checks them
        if "quant" in node and "overrides" in node.quant:
            OmegaConf.set_struct(node.quant.overrides, False)  # takes any pattern of layers' names
        store.store(name=f"{name}_schema", node=node)
    for group, schemas in (("optimizer", OPTIMIZER_SCHEMAS), ("scheduler", SCHEDULER_SCHEMAS)):
        for schema in schemas:
            store.store(group=group, name=f"{schema.name}_schema", node=schema)
    for name, model in MODEL_SCHEMAS.items():
        node = OmegaConf.structured(model)
        OmegaConf.set_struct(node, name == "resnet")  # others take options of the network itself
        store.store(group="model", name=f"{name}_schema", node=node)
    OmegaConf.register_new_resolver("run_dir", _run_dir, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("job_dir", job_dir, replace=True)


def plain(config: DictConfig) -> dict[str, Any]:
    """Returns a configuration as plain containers, all interpolations resolved.

    Raises:
        UserError: for a key that the schemas do not have (Hydra lets ``+key=value`` add any), and for a value that its
            range in the schema does not have.
    """
    _refuse_unknown_keys(config, "")
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    _check_values(config, container, "")
    for section in _TARGETS:
        for name, target in container.get(section, {}).items():
            _check_target(f"{section}.{name}", target)
    return {str(key): value for key, value in container.items()}


def _check_values(config: DictConfig, values: dict[Any, Any], prefix: str) -> None:
    schema = OmegaConf.get_type(config)
    allowed = ranges_of(schema) if is_dataclass(schema) else {}
    for key, value in values.items():
        if key in allowed:
            try:
                check(f"{prefix}{key}", value, allowed[key])
            except ValueError as error:
                raise UserError(str(error)) from error
        child = config._get_node(key)
        if isinstance(child, DictConfig) and isinstance(value, dict):
            _check_values(child, value, f"{prefix}{key}.")


def _check_target(key: str, target: Any) -> None:
    if not isinstance(target, dict):
        raise UserError(f"{key}={as_written(target)}: must have a class as {key}._target_; ~{key} leaves it out")
    if not isinstance(target.get("_target_"), str):
        raise UserError(f"{key}._target_={as_written(target.get('_target_'))}: must be the name of a class")


def _refuse_unknown_keys(config: DictConfig, prefix: str) -> None:
    schema = OmegaConf.get_type(config)
    known = {f.name for f in fields(schema)} if is_dataclass(schema) else set(map(str, config))
    open_section = config._get_node_flag("struct") is False
    for key in map(str, config):
        if key not in known and not open_section:
            raise UserError(unknown_key(prefix + key, known))
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _refuse_unknown_keys(child, f"{prefix}{key}.")


def _run_dir(ckpt_path: str | None, parent: str) -> str:
    """Directory of a run: a resumed one goes on where its checkpoint lies, a new one is named by its start."""
    if ckpt_path is not None:
        run = Path(ckpt_path).absolute().parent.parent
        if (run / ".hydra").is_dir():
            return str(run)
    return str(Path(parent) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))


def job_dir(number: int, overrides: Sequence[str]) -> str:
    """The name of a multirun job's directory: its number, and the options that vary with their values.

    Options vary if the command line of this process gives several values for them; their last names are enough where
    these differ. A launcher that runs jobs by another command line gets the number alone.

    Args:
        number: of the job.
        overrides: of the job, as ``key=value``.

    Returns:
        A name such as ``3_bit-2_power-0``, of letters, digits and ``_ - . +`` only.
    """
    given = OverridesParser.create().parse_overrides([one for one in sys.argv[1:] if re.match(r"[+~]*[\w./@]+=", one)])
    varied = [one.get_key_element() for one in given if one.is_sweep_override()]
    short = {key: key.rpartition(".")[2] for key in varied}
    if len(set(short.values())) < len(short):
        short = {key: key for key in varied}
    pairs = [one.partition("=")[::2] for one in overrides]
    plain_pairs = ((key, re.sub(r"[^A-Za-z0-9.+_-]+", "-", value).strip("-")) for key, value in pairs if key in short)
    return "_".join([str(number), *(f"{short[key]}-{value}" for key, value in plain_pairs)])[:_LONGEST_NAME]
