"""Typed schemas of the scripts' configurations."""

from dataclasses import dataclass, field
from typing import Any

from apot_lit.config.search_options import SearchOptions
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
from apot_lit.data.known import KNOWN
from apot_lit.data.options import BATCH_SIZE, SEED
from apot_lit.quant.ranges import TRUTH, Integer, ListOf, Number, OneOf, option, or_null
from apot_lit.quant.spec import BITS, POWERS

_QUANTISED = OneOf(tuple(range(2, 9)))
_SCHEMES = ("apot", "uniform", "pot")
_PAIRS = (*_SCHEMES, *(f"{weights}_{acts}" for weights in _SCHEMES for acts in _SCHEMES if weights != acts))
_SIZES = KNOWN["mnist"].sizes  # of what benchmarks read
LABEL_SMOOTHING = Number(0, 1, below=True)
UNITS = ("multiplier", "mac", "dot", "fixed", "threshold", "rescale")
TARGETS = ("gates", "xilinx7", "xilinx7_dsp", "ice40")


@dataclass
class PathsConfig:
    """Directories."""

    root_dir: str = option(MISSING, None, "the project's directory")
    output_dir: str = option(MISSING, None, "where the script writes")


@dataclass
class FitConfig:
    """What every script that trains needs."""

    seed: int = option(0, SEED, "of weights, order of images and augmentation")
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class SweepConfig:
    """Every combination of these is trained, and how many at a time."""

    name: str = option(MISSING, None, "the sweep, as sweep=... chooses it")
    models: list[str] = option(MISSING, ListOf(NETWORKS, distinct=True), "networks to train")
    bits: list[int] = option(MISSING, ListOf(BITS, distinct=True), "bit widths to train")
    powers: list[int] = option(MISSING, ListOf(POWERS, distinct=True), "1: APoT, 0: uniform")
    seeds: list[int] = option(MISSING, ListOf(SEED, distinct=True), "seeds to train with")
    jobs: int = option(1, Integer(1, 256), "trainings side by side")


@dataclass
class RecipeConfig(FitConfig):
    """What is trained, and how."""

    recipe: str = option("default", None, "name that results are grouped by")
    init_from: str | None = option(None, None, "start from the weights of this checkpoint")
    distill_from: str | None = option(None, None, "learn from this checkpoint's predictions as well")
    distill_weight: float = option(0.5, Number(0, 1), "share of the teacher in the loss")
    distill_temperature: float = option(4.0, Number(0.01, 100), "softens the teacher's predictions")
    label_smoothing: float = option(0.0, LABEL_SMOOTHING, "share of all classes in the labels of the training loss")
    model: Any = MISSING
    quant: QuantConfig = field(default_factory=QuantConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass
class TrainConfig(RecipeConfig):
    """Configuration of train.py."""

    test: bool = option(True, TRUTH, "look at the test images, once, at the end")
    ckpt_path: str | None = option(None, None, "go on with this run: its last.ckpt")
    sweep: SweepConfig | None = None


@dataclass
class SearchConfig(RecipeConfig):
    """Configuration of search.py."""

    search: SearchOptions = field(default_factory=SearchOptions)


@dataclass
class ReferenceQuantConfig:
    """What a file of the reference implementation does not say about its quantiser."""

    bit: int | None = option(None, or_null(BITS), "of a file of the reference implementation")
    power: int = option(1, POWERS, "of such a file: 1 or 0")


@dataclass
class StreamConfig:
    """How the network of integers is made."""

    stream_bit: int | None = option(
        None, or_null(Integer(8, 16)), "bits of what is not codes; null: 16, or the packed file's"
    )


@dataclass
class EvaluateConfig:
    """Configuration of evaluate.py."""

    ckpt_path: str = option(MISSING, None, "the checkpoint, packed file, directory of C source or ONNX file")
    model: ModelConfig | None = None
    quant: ReferenceQuantConfig = field(default_factory=ReferenceQuantConfig)
    split: str = option("test", OneOf(("train", "val", "test")), "train, val or test")
    arithmetic: str | None = option(
        None,
        or_null(OneOf(("float", "integer"))),
        "float, or integers to the end; null: the engine's",
    )
    engine: str = option("torch", OneOf(("torch", "c", "onnx")), "what computes: torch, c or onnx")
    export: StreamConfig = field(default_factory=StreamConfig)
    batch_size: int = option(1000, BATCH_SIZE, "images per batch")
    data_dir: str | None = option(None, None, "directory of the data set's files; null: the usual one")
    download: bool = option(False, TRUTH, "whether to download them if they are missing")
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class BenchmarkConfig(FitConfig):
    """Configuration of benchmark.py."""

    device: str = option("auto", OneOf(("auto", "cpu", "cuda")), "auto, cpu or cuda")
    inference: bool = option(False, TRUTH, "measure exported networks instead")
    microcontroller: list[str] = option([], None, "measure packed networks of these directories on a Cortex-M3")
    trainings: list[str] = option([], None, "measure trainings by these recipes (experiments) instead")
    epochs: int = option(2, ONE_OR_MORE, "epochs of each of these trainings")
    repeats: int = option(MISSING, ONE_OR_MORE, "how often each measurement is repeated")
    models: list[str] = option(MISSING, ListOf(NETWORKS, distinct=True), "networks to measure")
    stems: list[str] = option(
        MISSING, ListOf(OneOf(("reference", "small")), distinct=True), "stems of exported networks to measure"
    )
    width: int = option(16, WIDTH, "channels of the first stage")
    apot_bits: list[int] = option(MISSING, ListOf(_QUANTISED, distinct=True), "bit widths of APoT")
    uniform_bits: list[int] = option(MISSING, ListOf(_QUANTISED, distinct=True), "bit widths of uniform levels")
    compile: bool = option(MISSING, TRUTH, "measure compiled steps as well")
    compile_bits: list[int] = option(
        MISSING, ListOf(_QUANTISED, distinct=True, may_be_empty=True), "at these bit widths"
    )
    projection_elements: int = option(MISSING, Integer(1, 10**8), "activations of the projection")
    pipeline_images: int = option(MISSING, Integer(1, _SIZES["train"]), "images of the input pipeline")
    evaluation_images: int = option(MISSING, Integer(1, _SIZES["test"]), "images of the evaluation")


@dataclass
class ExportConfig:
    """Configuration of export.py."""

    ckpt_path: str = option(MISSING, None, "the checkpoint")
    format: str = option(
        MISSING,
        OneOf(("onnx", "packed", "c", "microcontroller", "web", "verify")),
        "onnx, packed, c, microcontroller, web, or verify one",
    )
    output: str | None = option(None, None, "file or directory; null: in the output directory")
    overwrite: bool = option(False, TRUTH, "replace an earlier export")
    export: StreamConfig = field(default_factory=StreamConfig)
    model: ModelConfig | None = None
    quant: ReferenceQuantConfig = field(default_factory=ReferenceQuantConfig)
    data_dir: str | None = option(None, None, "directory of the data set's files; null: the usual one")
    download: bool = option(False, TRUTH, "whether to download them if they are missing")
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class HardwareConfig:
    """Configuration of hardware.py."""

    schemes: list[str] = option(
        MISSING, ListOf(OneOf(_PAIRS), distinct=True), "of weights and activations, or of both: apot_uniform"
    )
    bits: list[int] = option(MISSING, ListOf(_QUANTISED, distinct=True), "of the weights, the sign included")
    act_bits: list[int] | None = option(
        None, or_null(ListOf(_QUANTISED, distinct=True)), "of the activations, with all of bits; null: the same"
    )
    units: list[str] = option(MISSING, ListOf(OneOf(UNITS), distinct=True), "what is written")
    lanes: int = option(16, Integer(2, 64), "products per clock of a dot product")
    products: int = option(1152, Integer(1, 10**6), "products that a sum holds, whatever they are")
    targets: list[str] = option(
        MISSING, ListOf(OneOf(TARGETS), distinct=True, may_be_empty=True), "what prices are measured on"
    )
    simulate: bool = option(MISSING, TRUTH, "simulate all pairs of operands")
    equivalence: bool = option(MISSING, TRUTH, "prove all ways to write a multiplier equal (SAT)")
    ckpt_path: str | None = option(None, None, "write and simulate a layer of this checkpoint instead")
    layer: str | None = option(None, None, "the layer; null: the first one that reads codes")
    images: int = option(2, Integer(1, 100), "digits of the layer's test vectors")
    model: ModelConfig | None = None
    quant: ReferenceQuantConfig = field(default_factory=ReferenceQuantConfig)
    export: StreamConfig = field(default_factory=StreamConfig)
    data_dir: str | None = option(None, None, "directory of the data set's files; null: the usual one")
    download: bool = option(False, TRUTH, "whether to download them if they are missing")
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class PredictConfig:
    """Configuration of predict.py."""

    ckpt_path: str = option(MISSING, None, "the checkpoint, packed file or ONNX file")
    images: str = option(MISSING, None, "a picture, a folder of pictures, an array (.npy) or an IDX file")
    invert: bool | None = option(None, or_null(TRUTH), "whether the ink is dark; null: digits whose edge is light")
    center: bool | None = option(None, or_null(TRUTH), "find, scale and centre the digit; null: digits unless 28x28")
    show: int = option(20, Integer(1, 10**6), "rows of the printed table")
    sheets: int = option(1, Integer(0, 100), "pictures whose codes are drawn")
    model: ModelConfig | None = None
    quant: ReferenceQuantConfig = field(default_factory=ReferenceQuantConfig)
    data_dir: str | None = option(None, None, "directory of the data set's files; null: the usual one")
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class ReportConfig:
    """Configuration of report.py."""

    results_dir: str = option(MISSING, None, "directory with result files")
    published: str = option(MISSING, None, "table of published accuracies")
    documents: list[str] = option([], None, "documents whose tables are to be renewed")
    data_dir: str | None = option(None, None, "directory of the data set's files; null: the usual one")
    download: bool = option(False, TRUTH, "whether to download them if they are missing")
    paths: PathsConfig = field(default_factory=PathsConfig)
