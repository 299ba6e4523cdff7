"""Typed schemas of the sections of a run's configuration, with every default and range; plain dataclasses."""

from dataclasses import MISSING as REQUIRED
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

from apot_lit.data.options import DataOptions
from apot_lit.quant.ranges import TRUTH, AnyOf, Integer, ListOf, Number, OneOf, option, or_null
from apot_lit.quant.spec import QuantSpec

MISSING: Any = "???"  # OmegaConf's mark of a value that must be given

NETWORKS = OneOf(("resnet10", "resnet14", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"))
WIDTH = Integer(1, 512)
ONE_OR_MORE = Integer(1)
_BATCHES = AnyOf((OneOf((None,)), ONE_OR_MORE, Number(0, 1, above=True)))
_RATE = Number(0, 1000)
_SHARE = Number(0, 1, below=True)


def _mutable_twin(name: str, options: Any) -> Any:
    """The same fields, defaults and ranges: OmegaConf makes nodes of frozen dataclasses read-only."""
    twins = []
    for one in fields(options):
        default = MISSING if one.default is REQUIRED else one.default
        twins.append((one.name, one.type, field(default=default, metadata=one.metadata)))
    return make_dataclass(name, twins)


QuantConfig: Any = _mutable_twin("QuantConfig", QuantSpec)
DataConfig: Any = _mutable_twin("DataConfig", DataOptions)


@dataclass
class ModelConfig:
    """Options of `apot_lit.models.ResNet`."""

    name: str = option(MISSING, NETWORKS)
    stem: str = option("reference", OneOf(("reference", "small")))
    width: int = option(16, WIDTH)
    residual_gamma: float | None = option(None, or_null(Number(0, 1)))


@dataclass
class TrainerConfig:
    """How to compute, and options of `pytorch_lightning.Trainer`.

    The Trainer's other options may be added; `apot_lit.training.trainer` checks their names.
    """

    compile: bool = False
    channels_last: bool | None = None
    threads: int | None = option(None, or_null(Integer(1, 256)))
    accelerator: str = option("auto", OneOf(("auto", "cpu", "gpu", "cuda")))
    devices: Any = option(1, AnyOf((Integer(1, 64), OneOf((-1, "auto")), ListOf(Integer(0, 63), distinct=True))))
    num_nodes: int = option(1, Integer(1, 1024))
    strategy: str = option("auto", OneOf(("auto", "ddp")))
    precision: str = option("32-true", OneOf(("32-true", "bf16-mixed")))
    max_epochs: int = option(25, ONE_OR_MORE)
    max_steps: int = option(-1, AnyOf((OneOf((-1,)), ONE_OR_MORE)))
    gradient_clip_val: float | None = option(None, or_null(Number(0, 1e6, above=True)))
    accumulate_grad_batches: int = option(1, ONE_OR_MORE)
    check_val_every_n_epoch: int = option(1, ONE_OR_MORE)
    limit_train_batches: Any = option(None, _BATCHES)
    limit_val_batches: Any = option(None, _BATCHES)
    limit_test_batches: Any = option(None, _BATCHES)
    fast_dev_run: Any = option(False, AnyOf((TRUTH, ONE_OR_MORE)))
    log_every_n_steps: int = option(50, ONE_OR_MORE)
    num_sanity_val_steps: int = option(0, Integer(-1))
    deterministic: bool = False
    detect_anomaly: bool = False
    profiler: str | None = option(None, OneOf((None, "simple", "advanced", "pytorch")))


@dataclass
class SGDConfig:
    """Options of `torch.optim.SGD`, and rates of parameters of another kind (null: the same as the weights')."""

    name: str = option("sgd", OneOf(("sgd",), "; optimizer=... chooses another"))
    lr: float = option(0.01, _RATE)
    momentum: float = option(0.9, _SHARE)
    nesterov: bool = False
    weight_decay: float = option(1e-4, _RATE)
    norm_weight_decay: float | None = option(None, or_null(_RATE))
    alpha_lr: float | None = option(None, or_null(_RATE))
    alpha_weight_decay: float | None = option(None, or_null(_RATE))


@dataclass
class AdamWConfig:
    """Options of `torch.optim.AdamW`, and rates of parameters of another kind (null: the same as the weights')."""

    name: str = option("adamw", OneOf(("adamw",), "; optimizer=... chooses another"))
    lr: float = option(1e-3, _RATE)
    betas: tuple[float, float] = option((0.9, 0.999), ListOf(_SHARE, length=2))
    weight_decay: float = option(0.01, _RATE)
    norm_weight_decay: float | None = option(None, or_null(_RATE))
    alpha_lr: float | None = option(None, or_null(_RATE))
    alpha_weight_decay: float | None = option(None, or_null(_RATE))


@dataclass
class ConstantConfig:
    """A constant learning rate."""

    name: str = option("constant", OneOf(("constant",), "; scheduler=... chooses another"))


@dataclass
class MultiStepConfig:
    """Options of `torch.optim.lr_scheduler.MultiStepLR`; milestones in epochs."""

    name: str = option("multistep", OneOf(("multistep",), "; scheduler=... chooses another"))
    milestones: list[int] = option([30, 60, 90], ListOf(ONE_OR_MORE, distinct=True))
    gamma: float = option(0.1, Number(0, 1, above=True))


@dataclass
class CosineConfig:
    """Linear warm-up, then cosine from the optimizer's learning rate to `min_lr` over the rest of the training."""

    name: str = option("cosine", OneOf(("cosine",), "; scheduler=... chooses another"))
    warmup: float = option(0.0, _SHARE)
    min_lr: float = option(0.0, _RATE)


@dataclass
class OneCycleConfig:
    """Options of `torch.optim.lr_scheduler.OneCycleLR`; the peak is the optimizer's learning rate."""

    name: str = option("onecycle", OneOf(("onecycle",), "; scheduler=... chooses another"))
    pct_start: float = option(0.3, _SHARE)
    div_factor: float = option(25.0, Number(1, 1e9))
    final_div_factor: float = option(1e4, Number(1, 1e9))


OPTIMIZER_SCHEMAS = (SGDConfig, AdamWConfig)
SCHEDULER_SCHEMAS = (ConstantConfig, MultiStepConfig, CosineConfig, OneCycleConfig)
