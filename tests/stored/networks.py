"""Small networks as training leaves them, in floats and in integers."""

import torch

from apot_lit.errors import UserError
from apot_lit.integer import to_integers
from apot_lit.models.build import build_network

DATA = {"mean": 33 / 255, "std": 0.3081}


def configuration(name="resnet10", width=4, stem="reference", data=DATA, **quant):
    return {"model": {"name": name, "width": width, "stem": stem}, "quant": quant, "data": dict(data), "seed": 3}


def images(count=6, seed=1):
    return torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def trained(config, seed=0):
    """A network with thresholds, batch norms and biases as training leaves them: none at its initial value."""
    torch.manual_seed(seed)
    network = build_network(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("raw_alpha"):
                parameter.mul_(0.3 + torch.rand(()))
            elif parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        for seed in range(2):
            network(images(seed=seed))
    return network.eval()


def both(config):
    """The network in floats and in integers."""
    network = trained(config)
    return network, to_integers(network, images(seed=5))


def attempt(function, *arguments):
    """What a function returns, or the UserError that it raises; nothing else may be raised."""
    try:
        return function(*arguments), None
    except UserError as error:
        return None, error
