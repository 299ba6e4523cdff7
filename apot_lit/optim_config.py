"""Typed schemas of the optimizers and schedulers that `apot_lit.optim` builds."""

from dataclasses import dataclass, field


@dataclass
class SGDConfig:
    """Options of `torch.optim.SGD`, and rates of parameters of another kind (null: the same as the weights')."""

    name: str = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    norm_weight_decay: float | None = None
    alpha_lr: float | None = None
    alpha_weight_decay: float | None = None


@dataclass
class AdamWConfig:
    """Options of `torch.optim.AdamW`, and rates of parameters of another kind (null: the same as the weights')."""

    name: str = "adamw"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    norm_weight_decay: float | None = None
    alpha_lr: float | None = None
    alpha_weight_decay: float | None = None


@dataclass
class ConstantConfig:
    """A constant learning rate."""

    name: str = "constant"


@dataclass
class MultiStepConfig:
    """Options of `torch.optim.lr_scheduler.MultiStepLR`; milestones in epochs."""

    name: str = "multistep"
    milestones: list[int] = field(default_factory=lambda: [30, 60, 90])
    gamma: float = 0.1


@dataclass
class CosineConfig:
    """Linear warm-up, then cosine from the optimizer's learning rate to `min_lr` over the rest of the training."""

    name: str = "cosine"
    warmup: float = 0.0
    min_lr: float = 0.0


@dataclass
class OneCycleConfig:
    """Options of `torch.optim.lr_scheduler.OneCycleLR`; the peak is the optimizer's learning rate."""

    name: str = "onecycle"
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4


OPTIMIZER_SCHEMAS = (SGDConfig, AdamWConfig)
SCHEDULER_SCHEMAS = (ConstantConfig, MultiStepConfig, CosineConfig, OneCycleConfig)
