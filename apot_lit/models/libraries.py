"""Float networks of torchvision, timm and the user, without trained weights, for images of any number of channels."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any, get_type_hints

import torch
import torchvision
from torch import nn

from apot_lit.errors import UserError, nearest

_NO_ARGUMENTS = ("library", "name", "enlarge", "_target_")
_OF_WEIGHTS = ("weights", "weights_backbone", "pretrained", "pretrained_cfg", "checkpoint_path")
_WITHOUT = {"googlenet": {"aux_logits": False, "init_weights": True}}
_WITHOUT["inception_v3"] = _WITHOUT["googlenet"]
_COLOURS = 3


def library_network(model: Mapping[str, Any], channels: int, classes: int) -> nn.Module:
    """Builds a network that reads normalised images ``[N, channels, H, W]`` and gives logits ``[N, classes]``.

    Args:
        model: the section ``model``: ``library``, ``name``, ``_target_`` and arguments of the network.
        channels: of images; networks of torchvision get a first convolution of so many.
        classes: number of logits that networks of torchvision and timm are asked for.

    Raises:
        UserError: for a network that is not known, or can't be built with these arguments.
    """
    library, name = model["library"], model["name"]
    arguments = {key: value for key, value in model.items() if key not in _NO_ARGUMENTS}
    for key in _OF_WEIGHTS:
        if key in arguments and library != "custom":
            raise UserError(f"model.{key}={arguments[key]}: networks are built without trained weights; leave it out")
    if library == "torchvision":
        names = torchvision.models.list_models(module=torchvision.models)
        _require_known("torchvision", name, names)
        given = {**_WITHOUT.get(name, {}), "num_classes": classes, **arguments}
        return _of_channels(_built(name, torchvision.models.get_model, name, **given), channels)
    if library == "timm":
        timm: Any = _timm()
        _require_known("timm", name, timm.list_models())
        given = {"pretrained": False, "in_chans": channels, "num_classes": classes, **arguments}
        return _built(name, timm.create_model, name, **given)
    return _built(model["_target_"], own_function(model["_target_"]), **arguments)


def own_function(target: str) -> Callable[..., nn.Module]:
    """Finds what makes a network, in a module that can be imported from the current directory.

    Files name it too, so it must say of itself that it is a network: a class of `torch.nn.Module`, or a function
    annotated to return one. Nothing else is ever called.

    Raises:
        UserError: if it can't be imported, or is something else.
    """
    where = f"model._target_={target}"
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = resolve_name(target)
    except Exception as error:  # whatever importing a module of the user raises
        raise UserError(f"{where}: cannot be imported: {_reason(error)}") from error
    made = found
    if inspect.isroutine(found):
        try:
            made = get_type_hints(found).get("return")
        except (NameError, TypeError):
            made = None
    if not (isinstance(made, type) and issubclass(made, nn.Module)):
        raise UserError(f"{where}: must be a class of torch.nn.Module, or a function annotated to return one")
    function: Callable[..., nn.Module] = found
    return function


def _timm() -> Any:
    if find_spec("timm") is None:
        raise UserError("model=timm: needs timm; install apot-lit[timm]")
    return import_module("timm")


def _require_known(library: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise UserError(
            f"model.name={name}: {library} has no such classifier; near it are {', '.join(nearest(name, names))}"
        )


def _built(what: str, function: Callable[..., nn.Module], *positional: Any, **arguments: Any) -> nn.Module:
    try:
        network = function(*positional, **arguments)
    except Exception as error:  # whatever code of others raises
        raise UserError(f"model: cannot build {what}: {_reason(error)}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"model: {what} gives a {type(network).__name__}, not a network")
    return network


def _of_channels(network: nn.Module, channels: int) -> nn.Module:
    """Gives the first convolution over colours so many channels, with the initial weights that it has."""
    for parent in network.modules():
        for name, layer in parent.named_children():
            if type(layer) is nn.Conv2d and layer.in_channels == _COLOURS != channels:
                size: Any = layer.kernel_size
                changed = nn.Conv2d(channels, layer.out_channels, size, bias=layer.bias is not None, device="meta")
                changed.stride, changed.padding, changed.dilation = layer.stride, layer.padding, layer.dilation
                changed.weight = nn.Parameter(layer.weight.detach()[:, torch.arange(channels) % _COLOURS])
                changed.bias = layer.bias
                setattr(parent, name, changed)
                return network
    return network


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
