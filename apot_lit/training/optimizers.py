"""Optimizers and learning-rate schedulers, built from plain mappings, with parameter groups of their own for alphas."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from apot_lit.errors import UserError

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adamw": AdamW}
SCHEDULERS_BY_STEP = ("cosine", "onecycle")  # these depend on the length of the whole training
SCHEDULERS = ("constant", "multistep", *SCHEDULERS_BY_STEP)


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    norm_weight_decay: float | None,
    alpha_lr: float | None,
    alpha_weight_decay: float | None,
) -> list[dict[str, Any]]:
    """Splits the parameters into weights, those of normalisation layers with all biases, and clipping thresholds.

    Args:
        model: a network, quantised or not.
        lr: learning rate of all but clipping thresholds.
        weight_decay: weight decay of the weights.
        norm_weight_decay: weight decay of batch norms and biases; None for `weight_decay`.
        alpha_lr: learning rate of clipping thresholds; None for `lr`.
        alpha_weight_decay: weight decay of clipping thresholds; None for `weight_decay`.

    Returns:
        One to three groups for an optimizer, named ``weights``, ``norms`` and ``alphas``.
    """

    def group_of(name: str, parameter: nn.Parameter) -> str:
        if name.rpartition(".")[2] == "raw_alpha":
            return "alphas"
        return "norms" if parameter.dim() <= 1 else "weights"

    def or_weights(value: float | None, of_weights: float) -> float:
        return of_weights if value is None else value

    groups: list[dict[str, Any]] = [
        {"name": "weights", "lr": lr, "weight_decay": weight_decay},
        {"name": "norms", "lr": lr, "weight_decay": or_weights(norm_weight_decay, weight_decay)},
        {
            "name": "alphas",
            "lr": or_weights(alpha_lr, lr),
            "weight_decay": or_weights(alpha_weight_decay, weight_decay),
        },
    ]
    for group in groups:
        group["params"] = [p for name, p in model.named_parameters() if group_of(name, p) == group["name"]]
    return [group for group in groups if group["params"]]


def build_optimizer(model: nn.Module, config: Mapping[str, Any]) -> Optimizer:
    """Builds the optimizer that ``config["name"]`` names, with the remaining keys as its options.

    Weights have no weight decay where none is given.

    Raises:
        UserError: for an unknown name, no learning rate, or options the optimizer refuses.
    """
    options = dict(config)
    name = options.pop("name", None)
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer.name={name}: must be one of {', '.join(OPTIMIZERS)}")
    if "lr" not in options:
        raise UserError("optimizer.lr: a value is needed")
    rates = options.pop("lr"), options.pop("weight_decay", 0.0)
    others = (options.pop(key, None) for key in ("norm_weight_decay", "alpha_lr", "alpha_weight_decay"))
    groups = parameter_groups(model, *rates, *others)
    try:
        # Fused: one kernel for all parameters in place of several operations for each of hundreds.
        optimizer = OPTIMIZERS[name](groups, **options, fused=True)
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer={name}: {error}") from error
    optimizer.register_load_state_dict_post_hook(_like_parameters)
    return optimizer


def _like_parameters(optimizer: Optimizer) -> None:
    """Gives the loaded state the memory format of its parameter: fused kernels pair elements by their place in memory.

    A run may be resumed with another ``trainer.channels_last``.
    """
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


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
    name = options.pop("name", None)
    scheduler: LRScheduler
    try:
        if name == "constant":
            scheduler, interval = ConstantLR(optimizer, factor=1.0, total_iters=0), "epoch"
        elif name == "multistep":
            scheduler, interval = MultiStepLR(optimizer, **options), "epoch"
        elif name == "cosine":
            scheduler, interval = _warmup_and_cosine(optimizer, total_steps, **options), "step"
        elif name == "onecycle":
            peaks = [group["lr"] for group in optimizer.param_groups]
            # The momentum is the optimizer's own option.
            options |= {"max_lr": peaks, "total_steps": total_steps, "cycle_momentum": False}
            scheduler, interval = OneCycleLR(optimizer, **options), "step"
        else:
            raise UserError(f"scheduler.name={name}: must be one of {', '.join(SCHEDULERS)}")
    except ZeroDivisionError as error:
        raise UserError(f"scheduler={name}: {total_steps} steps are too few for its rise and fall") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"scheduler={name}: {error} (training has {max_epochs} epochs)") from error
    return {"scheduler": scheduler, "interval": interval}


def _warmup_and_cosine(optimizer: Optimizer, total_steps: int, min_lr: float, warmup: float = 0.0) -> LRScheduler:
    warmup_steps = min(round(warmup * total_steps), total_steps - 1)  # one step at least for the cosine
    cosine = CosineAnnealingLR(optimizer, T_max=total_steps - warmup_steps, eta_min=min_lr)
    if warmup_steps == 0:
        return cosine
    rising = LinearLR(optimizer, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)
    return SequentialLR(optimizer, [rising, cosine], milestones=[warmup_steps])
