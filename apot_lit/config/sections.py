"""Typed schemas of the sections of a run's configuration, with every default and range; plain dataclasses."""

from collections.abc import Mapping
from dataclasses import MISSING as REQUIRED
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

from apot_lit.data.options import DataOptions
from apot_lit.quant.ranges import TRUTH, AnyOf, Integer, ListOf, Number, OneOf, option, or_null
from apot_lit.quant.spec import CalibrationSpec, QuantSpec

MISSING: Any = "???"  # OmegaConf's mark of a value that must be given

NETWORKS = OneOf(("resnet10", "resnet14", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"))
WIDTH = Integer(1, 512)
ONE_OR_MORE = Integer(1)
_BATCHES = AnyOf((OneOf((None,)), ONE_OR_MORE, Number(0, 1, above=True)))
_RATE = Number(0, 1000)
_SHARE = Number(0, 1, below=True)


def _mutable_twin(name: str, *options: Any) -> Any:
    """The same fields of all, defaults and ranges: OmegaConf makes nodes of frozen dataclasses read-only."""
    twins: list[Any] = []
    for part in options:
        for one in fields(part):
            if isinstance(one.default, Mapping):
                twins.append((one.name, dict[str, Any], field(default_factory=dict, metadata=one.metadata)))
            else:
                default = MISSING if one.default is REQUIRED else one.default
                twins.append((one.name, one.type, field(default=default, metadata=one.metadata)))
    twin = make_dataclass(name, twins)
    twin.__module__ = __name__  # where other processes find it, to which launchers send configurations
    return twin


QuantConfig: Any = _mutable_twin("QuantConfig", QuantSpec, CalibrationSpec)
DataConfig: Any = _mutable_twin("DataConfig", DataOptions)


@dataclass
class ModelConfig:
    """Options of `apot_lit.models.ResNet`."""

    name: str = option(MISSING, NETWORKS, "the network, as model=... chooses it")
    stem: str = option(
        "reference",
        OneOf(("reference", "small", "strided")),
        "7x7, stride 2, and max-pool; 3x3; or 5x5, stride 2",
    )
    width: int = option(16, WIDTH, "channels of the first stage")
    residual_gamma: float | None = option(None, or_null(Number(0, 1)), "initial weight of each block's last batch norm")


@dataclass
class ForeignModelConfig:
    """Options of a network from elsewhere, see `apot_lit.models.foreign`; those of the network itself stand beside."""

    library: str = option(MISSING, OneOf(("torchvision", "timm", "custom")), "torchvision, timm or custom")
    name: str = option(MISSING, None, "the network; of your own: its name in tables")
    enlarge: int | None = option(None, or_null(Integer(1, 1024)), "enlarge images to so many pixels; null: leave them")


@dataclass
class TrainerConfig:
    """How to compute, and options of `pytorch_lightning.Trainer`.

    The Trainer's other options may be added; `apot_lit.training.trainer` checks their names.
    """

    compile: bool = option(False, TRUTH, "compile the training step; takes a minute or two")
    channels_last: bool | None = option(None, or_null(TRUTH), "memory format; null: where it is faster")
    threads: int | None = option(None, or_null(Integer(1, 256)), "threads on the CPU; null: all cores")
    accelerator: str = option("auto", OneOf(("auto", "cpu", "gpu", "cuda")), "auto, cpu or gpu")
    devices: Any = option(
        1,
        AnyOf((Integer(1, 64), OneOf((-1, "auto")), ListOf(Integer(0, 63), distinct=True))),
        "how many, or a list of their numbers",
    )
    num_nodes: int = option(1, Integer(1, 1024), "machines that train together")
    strategy: str = option("auto", OneOf(("auto", "ddp")), "auto or ddp")
    precision: str = option("32-true", OneOf(("32-true", "bf16-mixed")), "32-true or bf16-mixed")
    max_epochs: int = option(25, Integer(0), "length of the training; 0: none, only evaluate")
    max_steps: int = option(-1, AnyOf((OneOf((-1,)), ONE_OR_MORE)), "optimizer steps at most; -1: no limit")
    gradient_clip_val: float | None = option(
        None, or_null(Number(0, 1e6, above=True)), "largest norm of the gradient; null: no limit"
    )
    accumulate_grad_batches: int = option(1, ONE_OR_MORE, "batches per step of the optimizer")
    check_val_every_n_epoch: int = option(1, ONE_OR_MORE, "epochs between validations")
    limit_train_batches: Any = option(None, _BATCHES, "batches of an epoch, or their share; null: all")
    limit_val_batches: Any = option(None, _BATCHES, "the same in validation")
    limit_test_batches: Any = option(None, _BATCHES, "batches of a test, or their share; null: all")
    fast_dev_run: Any = option(False, AnyOf((TRUTH, ONE_OR_MORE)), "a batch of everything, nothing is written")
    log_every_n_steps: int = option(50, ONE_OR_MORE, "steps between values for a logger")
    num_sanity_val_steps: int = option(0, Integer(-1), "validation batches before the training")
    deterministic: bool = option(False, TRUTH, "only operations that repeat bit by bit")
    detect_anomaly: bool = option(False, TRUTH, "look for NaN in every operation, slowly")
    profiler: str | None = option(
        None, OneOf((None, "simple", "advanced", "pytorch")), "measure where the time of the training goes"
    )


@dataclass
class SGDConfig:
    """Options of `torch.optim.SGD`, and rates of parameters of another kind (null: the same as the weights')."""

    name: str = option(
        "sgd", OneOf(("sgd",), "; optimizer=... chooses another"), "the optimizer, as optimizer=... chooses it"
    )
    lr: float = option(0.01, _RATE, "learning rate")
    momentum: float = option(0.9, _SHARE, "momentum")
    nesterov: bool = option(False, TRUTH, "Nesterov's momentum")
    weight_decay: float = option(1e-4, _RATE, "weight decay")
    norm_weight_decay: float | None = option(None, or_null(_RATE), "of batch norms and biases; null: the weights'")
    alpha_lr: float | None = option(None, or_null(_RATE), "learning rate of thresholds; null: the weights'")
    alpha_weight_decay: float | None = option(None, or_null(_RATE), "weight decay of thresholds; null: the weights'")


@dataclass
class AdamWConfig:
    """Options of `torch.optim.AdamW`, and rates of parameters of another kind (null: the same as the weights')."""

    name: str = option(
        "adamw", OneOf(("adamw",), "; optimizer=... chooses another"), "the optimizer, as optimizer=... chooses it"
    )
    lr: float = option(1e-3, _RATE, "learning rate")
    betas: tuple[float, float] = option((0.9, 0.999), ListOf(_SHARE, length=2), "decay of both averages")
    weight_decay: float = option(0.01, _RATE, "weight decay")
    norm_weight_decay: float | None = option(None, or_null(_RATE), "of batch norms and biases; null: the weights'")
    alpha_lr: float | None = option(None, or_null(_RATE), "learning rate of thresholds; null: the weights'")
    alpha_weight_decay: float | None = option(None, or_null(_RATE), "weight decay of thresholds; null: the weights'")


@dataclass
class ConstantConfig:
    """A constant learning rate."""

    name: str = option(
        "constant", OneOf(("constant",), "; scheduler=... chooses another"), "the schedule, as scheduler=... chooses it"
    )


@dataclass
class MultiStepConfig:
    """Options of `torch.optim.lr_scheduler.MultiStepLR`; milestones in epochs."""

    name: str = option(
        "multistep",
        OneOf(("multistep",), "; scheduler=... chooses another"),
        "the schedule, as scheduler=... chooses it",
    )
    milestones: list[int] = option(
        [30, 60, 90], ListOf(ONE_OR_MORE, distinct=True), "epochs after which the rate falls"
    )
    gamma: float = option(0.1, Number(0, 1, above=True), "what it is multiplied by then")


@dataclass
class CosineConfig:
    """Linear warm-up, then cosine from the optimizer's learning rate to `min_lr` over the rest of the training."""

    name: str = option(
        "cosine", OneOf(("cosine",), "; scheduler=... chooses another"), "the schedule, as scheduler=... chooses it"
    )
    warmup: float = option(0.0, _SHARE, "share of the training in which the rate rises")
    min_lr: float = option(0.0, _RATE, "rate at the end")


@dataclass
class OneCycleConfig:
    """Options of `torch.optim.lr_scheduler.OneCycleLR`; the peak is the optimizer's learning rate."""

    name: str = option(
        "onecycle", OneOf(("onecycle",), "; scheduler=... chooses another"), "the schedule, as scheduler=... chooses it"
    )
    pct_start: float = option(0.3, _SHARE, "share of the training in which the rate rises")
    div_factor: float = option(25.0, Number(1, 1e9), "peak divided by the first rate")
    final_div_factor: float = option(1e4, Number(1, 1e9), "first rate divided by the last")


OPTIMIZER_SCHEMAS = (SGDConfig, AdamWConfig)
MODEL_SCHEMAS = {"resnet": ModelConfig, "foreign": ForeignModelConfig}
SCHEDULER_SCHEMAS = (ConstantConfig, MultiStepConfig, CosineConfig, OneCycleConfig)
