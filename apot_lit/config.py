"""Typed schemas of the configuration, registered with Hydra; with the scripts the only place that knows Hydra."""

from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from apot_lit.errors import UserError, unknown_key
from apot_lit.optim_config import OPTIMIZER_SCHEMAS, SCHEDULER_SCHEMAS
from apot_lit.quant.spec import QuantSpec

# OmegaConf makes nodes of frozen dataclasses read-only, so the schema is a mutable twin of QuantSpec.
QuantConfig: Any = make_dataclass(
    "QuantConfig", [(f.name, f.type, field(default=f.default)) for f in fields(QuantSpec)]
)


@dataclass
class ModelConfig:
    """Options of `apot_lit.models.ResNet`."""

    name: str = MISSING
    stem: str = "reference"
    width: int = 16
    residual_gamma: float | None = None


@dataclass
class DataConfig:
    """Options of `apot_lit.data.mnist.MNISTDataModule` but its seed."""

    data_dir: str = MISSING
    batch_size: int = 128
    eval_batch_size: int = 1000
    val_split: int = 5000
    split_seed: int = 0
    train_images: int | None = None
    mean: float = 33 / 255
    std: float = 0.3081
    flip: bool = False
    rotate: float = 0.0
    translate: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0


@dataclass
class TrainerConfig:
    """How to compute, and options of `pytorch_lightning.Trainer`."""

    compile: bool = False
    channels_last: bool = False
    threads: int | None = None
    accelerator: str = "auto"
    devices: Any = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    max_epochs: int = 25
    max_steps: int = -1
    gradient_clip_val: float | None = None
    accumulate_grad_batches: int = 1
    check_val_every_n_epoch: int = 1
    limit_train_batches: Any = None
    limit_val_batches: Any = None
    limit_test_batches: Any = None
    fast_dev_run: Any = False
    log_every_n_steps: int = 50
    num_sanity_val_steps: int = 0
    deterministic: bool = False
    detect_anomaly: bool = False
    profiler: str | None = None


@dataclass
class PathsConfig:
    """Directories."""

    root_dir: str = MISSING
    output_dir: str = MISSING


@dataclass
class FitConfig:
    """What every script that trains needs."""

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class SweepConfig:
    """Every combination of these is trained, and how many at a time."""

    name: str = MISSING
    models: list[str] = MISSING
    bits: list[int] = MISSING
    powers: list[int] = MISSING
    seeds: list[int] = MISSING
    jobs: int = 1
    job: str | None = None


@dataclass
class TrainConfig(FitConfig):
    """Configuration of train.py."""

    recipe: str = "default"
    ckpt_path: str | None = None
    init_from: str | None = None
    distill_from: str | None = None
    distill_weight: float = 0.5
    distill_temperature: float = 4.0
    model: ModelConfig = field(default_factory=ModelConfig)
    quant: QuantConfig = field(default_factory=QuantConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    sweep: SweepConfig | None = None


@dataclass
class ReferenceQuantConfig:
    """What a file of the reference implementation does not say about its quantiser."""

    bit: int | None = None
    power: int = 1


@dataclass
class EvaluateConfig:
    """Configuration of evaluate.py."""

    ckpt_path: str = MISSING
    model: ModelConfig | None = None
    quant: ReferenceQuantConfig = field(default_factory=ReferenceQuantConfig)
    split: str = "test"
    batch_size: int = 1000
    data_dir: str = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class BenchmarkConfig(FitConfig):
    """Configuration of benchmark.py."""

    device: str = "auto"
    inference: bool = False
    repeats: int = MISSING
    models: list[str] = MISSING
    width: int = 16
    apot_bits: list[int] = MISSING
    uniform_bits: list[int] = MISSING
    compile: bool = MISSING
    compile_bits: list[int] = MISSING
    projection_elements: int = MISSING
    pipeline_images: int = MISSING
    evaluation_images: int = MISSING


@dataclass
class ExportConfig:
    """Configuration of export.py."""

    ckpt_path: str = MISSING
    format: str = MISSING
    output: str | None = None
    overwrite: bool = False
    model: ModelConfig | None = None
    quant: ReferenceQuantConfig = field(default_factory=ReferenceQuantConfig)
    data_dir: str = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class ReportConfig:
    """Configuration of report.py."""

    results_dir: str = MISSING
    published: str = MISSING
    readme: str | None = None
    data_dir: str = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)


def register() -> None:
    """Registers schemas and resolvers with Hydra; calling it again changes nothing."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    store.store(name="evaluate_schema", node=EvaluateConfig)
    store.store(name="benchmark_schema", node=BenchmarkConfig)
    store.store(name="report_schema", node=ReportConfig)
    store.store(name="export_schema", node=ExportConfig)
    for group, schemas in (
        ("optimizer", OPTIMIZER_SCHEMAS),
        ("scheduler", SCHEDULER_SCHEMAS),
    ):
        for schema in schemas:
            store.store(group=group, name=f"{schema.name}_schema", node=schema)
    OmegaConf.register_new_resolver("run_dir", _run_dir, use_cache=True, replace=True)


def plain(config: DictConfig) -> dict[str, Any]:
    """Returns a configuration as plain containers, all interpolations resolved.

    Raises:
        UserError: for a key that the schemas do not have (Hydra lets ``+key=value`` add any).
    """
    _refuse_unknown_keys(config, "")
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def build_all(targets: dict[str, Any]) -> list[Any]:
    """Instantiates every ``_target_`` of a mapping such as the sections callbacks and logger.

    Raises:
        UserError: for one that cannot be built, such as a logger whose package is not installed.
    """
    built = []
    for name, target in targets.items():
        try:
            built.append(instantiate(target))
        except InstantiationException as error:
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise UserError(f"{name}: cannot build {target.get('_target_')}: {reason}") from error
    return built


def _refuse_unknown_keys(config: DictConfig, prefix: str) -> None:
    schema = OmegaConf.get_type(config)
    known = {f.name for f in fields(schema)} if is_dataclass(schema) else set(map(str, config))
    for key in map(str, config):
        if key not in known:
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
