"""Typed schemas of the scripts' configurations."""

from dataclasses import dataclass, field
from typing import Any

from apot_lit.config.sections import (
    MISSING,
    NETWORKS,
    ONE_OR_MORE,
    WIDTH,
    DataConfig,
    ModelConfig,
    QuantConfig,
    TrainerConfig,
)
from apot_lit.data.options import BATCH_SIZE, SEED, SET_SIZES
from apot_lit.quant.ranges import Integer, ListOf, Number, OneOf, option, or_null
from apot_lit.quant.spec import BITS, POWERS

_QUANTISED = OneOf(tuple(range(2, 9)))


@dataclass
class PathsConfig:
    """Directories."""

    root_dir: str = MISSING
    output_dir: str = MISSING


@dataclass
class FitConfig:
    """What every script that trains needs."""

    seed: int = option(0, SEED)
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
    models: list[str] = option(MISSING, ListOf(NETWORKS, distinct=True))
    bits: list[int] = option(MISSING, ListOf(BITS, distinct=True))
    powers: list[int] = option(MISSING, ListOf(POWERS, distinct=True))
    seeds: list[int] = option(MISSING, ListOf(SEED, distinct=True))
    jobs: int = option(1, Integer(1, 256))
    job: str | None = None


@dataclass
class TrainConfig(FitConfig):
    """Configuration of train.py."""

    recipe: str = "default"
    ckpt_path: str | None = None
    init_from: str | None = None
    distill_from: str | None = None
    distill_weight: float = option(0.5, Number(0, 1))
    distill_temperature: float = option(4.0, Number(0.01, 100))
    model: ModelConfig = field(default_factory=ModelConfig)
    quant: QuantConfig = field(default_factory=QuantConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    sweep: SweepConfig | None = None


@dataclass
class ReferenceQuantConfig:
    """What a file of the reference implementation does not say about its quantiser."""

    bit: int | None = option(None, or_null(BITS))
    power: int = option(1, POWERS)


@dataclass
class EvaluateConfig:
    """Configuration of evaluate.py."""

    ckpt_path: str = MISSING
    model: ModelConfig | None = None
    quant: ReferenceQuantConfig = field(default_factory=ReferenceQuantConfig)
    split: str = option("test", OneOf(("train", "val", "test")))
    batch_size: int = option(1000, BATCH_SIZE)
    data_dir: str = MISSING
    download: bool = False
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class BenchmarkConfig(FitConfig):
    """Configuration of benchmark.py."""

    device: str = option("auto", OneOf(("auto", "cpu", "cuda")))
    inference: bool = False
    repeats: int = option(MISSING, ONE_OR_MORE)
    models: list[str] = option(MISSING, ListOf(NETWORKS, distinct=True))
    width: int = option(16, WIDTH)
    apot_bits: list[int] = option(MISSING, ListOf(_QUANTISED, distinct=True))
    uniform_bits: list[int] = option(MISSING, ListOf(_QUANTISED, distinct=True))
    compile: bool = MISSING
    compile_bits: list[int] = option(MISSING, ListOf(_QUANTISED, distinct=True, may_be_empty=True))
    projection_elements: int = option(MISSING, Integer(1, 10**8))
    pipeline_images: int = option(MISSING, Integer(1, SET_SIZES["train"]))
    evaluation_images: int = option(MISSING, Integer(1, SET_SIZES["test"]))


@dataclass
class ExportConfig:
    """Configuration of export.py."""

    ckpt_path: str = MISSING
    format: str = option(MISSING, OneOf(("onnx", "packed", "header", "verify")))
    output: str | None = None
    overwrite: bool = False
    model: ModelConfig | None = None
    quant: ReferenceQuantConfig = field(default_factory=ReferenceQuantConfig)
    data_dir: str = MISSING
    download: bool = False
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class ReportConfig:
    """Configuration of report.py."""

    results_dir: str = MISSING
    published: str = MISSING
    documents: list[str] = field(default_factory=list)
    data_dir: str = MISSING
    download: bool = False
    paths: PathsConfig = field(default_factory=PathsConfig)
