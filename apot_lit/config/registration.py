"""Schemas and resolvers for Hydra, and a composed configuration as plain containers."""

from dataclasses import fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from apot_lit.config.places import choices, job_dir, row_dir, run_dir, sweep_name, varied
from apot_lit.config.schemas import (
    BenchmarkConfig,
    EvaluateConfig,
    ExportConfig,
    HardwareConfig,
    PredictConfig,
    ReportConfig,
    SearchConfig,
    TrainConfig,
)
from apot_lit.config.sections import MODEL_SCHEMAS, OPTIMIZER_SCHEMAS, SCHEDULER_SCHEMAS
from apot_lit.data.known import usual_directory
from apot_lit.errors import UserError, unknown_key
from apot_lit.installed import place
from apot_lit.quant.ranges import as_written, check, ranges_of

SCHEMAS = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "predict": PredictConfig,
    "report": ReportConfig,
    "benchmark": BenchmarkConfig,
    "hardware": HardwareConfig,
    "search": SearchConfig,
}

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
        if "search" in node:
            OmegaConf.set_struct(node.search.space, False)  # takes any option
        store.store(name=f"{name}_schema", node=node)
    for group, schemas in (("optimizer", OPTIMIZER_SCHEMAS), ("scheduler", SCHEDULER_SCHEMAS)):
        for schema in schemas:
            store.store(group=group, name=f"{schema.name}_schema", node=schema)
    for name, model in MODEL_SCHEMAS.items():
        node = OmegaConf.structured(model)
        OmegaConf.set_struct(node, name == "resnet")  # others take options of the network itself
        store.store(group="model", name=f"{name}_schema", node=node)
    OmegaConf.register_new_resolver("run_dir", run_dir, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("place", place, replace=True)
    # Jobs get the values of the cache, wherever they run: they do not know the values of the others.
    OmegaConf.register_new_resolver("varied", varied, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("job_dir", job_dir, replace=True)
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)
    OmegaConf.register_new_resolver("usual_directory", usual_directory, replace=True)
    OmegaConf.register_new_resolver("row_dir", row_dir, replace=True)
    OmegaConf.register_new_resolver("choices", choices, replace=True)


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
    if is_dataclass(schema):
        for key in sorted(known - set(map(str, config))):
            raise UserError(f"{prefix}{key}: can't be left out; ~{prefix}{key} is no option")
    for key in map(str, config):
        if key not in known and not open_section:
            raise UserError(unknown_key(prefix + key, known))
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _refuse_unknown_keys(child, f"{prefix}{key}.")
