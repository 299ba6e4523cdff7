"""Networks from plain configuration, as a checkpoint carries it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from apot_lit.errors import user_values
from apot_lit.models.input import PixelInput
from apot_lit.models.resnet import ResNet
from apot_lit.quant import quantize_model
from apot_lit.quant.spec import spec_of


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """Builds the float ResNet with its input, and quantises it.

    Args:
        config: the sections ``model`` (options of `ResNet`), ``quant`` (those of `spec_of`) and ``data`` (of which
            ``mean`` and ``std`` are those of `PixelInput`).

    Raises:
        UserError: for a value outside what is allowed.
    """
    with user_values("data"):
        pixels = PixelInput(config["data"]["mean"], config["data"]["std"])
    with user_values("quant"):
        spec, _ = spec_of(config["quant"])
    with user_values("model"):
        network = ResNet(**config["model"], input=pixels)
    return quantize_model(network, spec)
