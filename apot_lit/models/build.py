"""Networks from plain configuration, as a checkpoint carries it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from apot_lit.errors import user_values
from apot_lit.models.input import PixelInput
from apot_lit.models.resnet import ResNet
from apot_lit.quant import Inputs, QuantSpec, quantize_model


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """Builds the float ResNet with its input, and quantises it.

    Args:
        config: the sections ``model`` (options of `ResNet`), ``quant`` (those of `QuantSpec`) and ``data`` (of which
            ``mean`` and ``std`` are those of `PixelInput`, and ``channels`` and ``classes`` those of the images).

    Raises:
        UserError: for a value outside what is allowed, and a pattern of ``quant.overrides`` that matches no layer.
    """
    with user_values("data"):
        pixels = PixelInput(config["data"]["mean"], config["data"]["std"])
    with user_values("quant"):
        spec = QuantSpec(**config["quant"])
    # Older configurations lack these, which are then those of MNIST.
    names = {"classes": "num_classes", "channels": "in_channels"}
    images = {names[key]: value for key, value in config["data"].items() if key in names}
    with user_values("model"):
        network = ResNet(**config["model"], **images, input=pixels)
    with user_values("quant"):
        return quantize_model(network, spec, inputs=Inputs())  # all come from ReLUs
