"""Optimizers and learning-rate schedulers, built from plain mappings, with parameter groups of their own for alphas."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR

from apot_lit.errors import UserError

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adamw": AdamW}
SCHEDULERS = ("constant", "multistep", "cosine", "onecycle")


def parameter_groups(
    model: nn.Module, lr: float, weight_decay: float, alpha_lr: float | None, alpha_weight_decay: float | None
) -> list[dict[str, Any]]:
    """Splits the parameters into clipping thresholds and all others.

    Args:
        model: a network, quantised or not.
        lr: learning rate of the others.
        weight_decay: weight decay of the others.
        alpha_lr: learning rate of clipping thresholds; None for `lr`.
        alpha_weight_decay: weight decay of clipping thresholds; None for `weight_decay`.

    Returns:
        One or two groups for an optimizer, named ``weights`` and ``alphas``.
    """
    alphas: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (alphas if name.rpartition(".")[2] == "raw_alpha" else others).append(parameter)
    groups: list[dict[str, Any]] = [{"name": "weights", "params": others, "lr": lr, "weight_decay": weight_decay}]
    if alphas:
        groups.append(
            {
                "name": "alphas",
                "params": alphas,
                "lr": lr if alpha_lr is None else alpha_lr,
                "weight_decay": weight_decay if alpha_weight_decay is None else alpha_weight_decay,
            }
        )
    return groups


def build_optimizer(model: nn.Module, config: Mapping[str, Any]) -> Optimizer:
    """Builds the optimizer that ``config["name"]`` names, with the remaining keys as its options.

    Raises:
        UserError: for an unknown name, or options the optimizer refuses.
    """
    options = dict(config)
    name = options.pop("name")
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer.name={name}: must be one of {', '.join(OPTIMIZERS)}")
    group_keys = ("lr", "weight_decay", "alpha_lr", "alpha_weight_decay")
    for key in group_keys:
        if options[key] is not None and not 0 <= options[key] < float("inf"):
            raise UserError(f"optimizer.{key}={options[key]}: must be a finite number of at least 0")
    groups = parameter_groups(model, *(options.pop(key) for key in group_keys))
    try:
        # Fused: one kernel for all parameters in place of several operations for each of hundreds.
        return OPTIMIZERS[name](groups, **options, fused=True)
    except ValueError as error:
        raise UserError(f"optimizer={name}: {error}") from error


def build_scheduler(optimizer: Optimizer, config: Mapping[str, Any], total_steps: int, max_epochs: int) -> Any:
    """Builds the scheduler that ``config["name"]`` names, as the dictionary that Lightning takes.

    Args:
        optimizer: the optimizer whose learning rates it sets; each group's own rate is the peak.
        config: name and options.
        total_steps: optimizer steps of the whole training, the length of cosine and onecycle.
        max_epochs: epochs of the whole training.

    Raises:
        UserError: for an unknown name, or options the scheduler refuses.
    """
    options = dict(config)
    name = options.pop("name")
    scheduler: LRScheduler
    try:
        if name == "constant":
            scheduler, interval = ConstantLR(optimizer, factor=1.0, total_iters=0), "epoch"
        elif name == "multistep":
            scheduler, interval = MultiStepLR(optimizer, **options), "epoch"
        elif name == "cosine":
            scheduler, interval = CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=options["min_lr"]), "step"
        elif name == "onecycle":
            peaks = [group["lr"] for group in optimizer.param_groups]
            scheduler, interval = OneCycleLR(optimizer, max_lr=peaks, total_steps=total_steps, **options), "step"
        else:
            raise UserError(f"scheduler.name={name}: must be one of {', '.join(SCHEDULERS)}")
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"scheduler={name}: {error} (training has {max_epochs} epochs)") from error
    return {"scheduler": scheduler, "interval": interval}
