"""Whether weights were trained with the levels they are read with, from the statistics of their batch norms."""

from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from apot_lit.models.build import build_network
from apot_lit.quant.spec import FULL_PRECISION

_BITS = (2, 3, 4, 5)  # more hardly differ
_FITS = 0.3
_CLEARLY = 0.8


class BetterFit(NamedTuple):
    """Levels that fit a file better than those given.

    Attributes:
        bit: their bit width.
        power: 1 for APoT, 0 for uniform.
        deviation: see `deviation`, with these levels.
        given: the same with those given.
    """

    bit: int
    power: int
    deviation: float
    given: float


def better_fit(config: Mapping[str, Any], state: Mapping[str, Tensor], images: Tensor) -> BetterFit | None:
    """Looks for levels whose sums lie where the batch norms expect them, clearly more so than with those given.

    A batch norm keeps mean and variance of the sums before it, which depend on the levels that training computed with.

    Args:
        config: see `build_network`, with the levels given.
        state: weights that fit the network.
        images: uint8 pixels ``[N, 1, 28, 28]`` like those of the training.

    Returns:
        The levels that fit best, None if the given ones do nearly as well, none fits, or nothing is quantised.
    """
    quant = config["quant"]
    given = (quant["bit"], quant["power"])
    if quant["bit"] == FULL_PRECISION:
        return None
    found = {}
    for bit, power in {given, *product(_BITS, (0, 1))}:
        network = build_network({**config, "quant": {**quant, "bit": bit, "power": power}})
        network.load_state_dict(state, strict=False)
        found[bit, power] = deviation(network, images)
    best = min(found, key=lambda levels: found[levels])
    if found[best] > min(_FITS, _CLEARLY * found[given]):
        return None
    return BetterFit(*best, found[best], found[given])


@torch.no_grad()
def deviation(network: nn.Module, images: Tensor) -> float:
    """Mean of ``|m - running_mean| / sqrt(running_var + eps)`` over the channels of all batch norms.

    Args:
        network: a network with batch norms; left in evaluation mode.
        images: uint8 pixels ``[N, 1, 28, 28]``; m is the mean of a channel over them and their positions.
    """
    deviations: list[Tensor] = []

    def note(norm: Any, inputs: tuple[Tensor, ...]) -> None:
        means = inputs[0].mean((0, 2, 3))
        deviations.append(((means - norm.running_mean) / (norm.running_var + norm.eps).sqrt()).abs().mean())

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    network.eval()(images)
    for hook in hooks:
        hook.remove()
    return float(torch.stack(deviations).mean())
