"""Networks from plain configuration, as a checkpoint carries it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.errors import user_values
from apot_lit.models.foreign import ForeignNetwork, foreign_network, image_options, is_foreign, observe
from apot_lit.models.input import PixelInput
from apot_lit.models.resnet import ResNet
from apot_lit.quant import Inputs, quantize_model
from apot_lit.quant.spec import spec_of


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """Builds a float network with its input, and quantises it.

    Args:
        config: the sections ``model`` (options of `ResNet`, or of a network of another maker), ``quant`` (those of
            `spec_of`) and ``data`` (of which ``mean`` and ``std`` are those of `PixelInput`, and ``channels`` and
            ``classes`` those of the images); with a network of another maker also ``inputs``, see `with_inputs`.

    Raises:
        UserError: for a value outside what is allowed, a pattern of ``quant.overrides`` that matches no layer, and a
            network that can't be built.
    """
    with user_values("quant"):
        spec, _ = spec_of(config["quant"])
    network, found = _float_network(config), Inputs()
    if isinstance(network, ForeignNetwork):
        inputs = config["inputs"] if "inputs" in config else observe(network, config, None)
        found = Inputs(tuple(inputs["signed"]), tuple(inputs["idle"]))
        if not inputs["integers"]:
            network.input.step = None
    with user_values("quant"):
        return quantize_model(network, spec, inputs=found)  # inputs of our own networks come from ReLUs


def fresh_network(config: Mapping[str, Any]) -> nn.Module:
    """The same with weights that don't matter; no random state is changed.

    Raises:
        UserError: as `build_network`.
    """
    with torch.random.fork_rng(devices=[]):
        return build_network(config)


def with_inputs(config: Mapping[str, Any], images: Tensor) -> dict[str, Any]:
    """A configuration with what must be known of the inputs of its layers, so that its network can be built again.

    Args:
        config: see `build_network`.
        images: some uint8 images of the training.

    Returns:
        The configuration; that of a network of another maker has what `observe` returned as ``inputs``.

    Raises:
        UserError: as `build_network`, and as `observe`.
    """
    if not is_foreign(config) or "inputs" in config:
        return dict(config)
    with torch.random.fork_rng(devices=[]):
        network = _float_network(config)
        assert isinstance(network, ForeignNetwork)
        return {**config, "inputs": observe(network, config, images)}


def _float_network(config: Mapping[str, Any]) -> nn.Module:
    with user_values("data"):
        pixels = PixelInput(config["data"]["mean"], config["data"]["std"])
    if is_foreign(config):
        return foreign_network(config, pixels)
    channels, _, classes = image_options(config["data"])
    with user_values("model"):
        return ResNet(**config["model"], num_classes=classes, in_channels=channels, input=pixels)
