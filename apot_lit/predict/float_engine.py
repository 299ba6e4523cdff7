"""Runs a trained network in torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from apot_lit.quant.convert import act_quantizers
from apot_lit.quant.quantizers import Codes

Array = npt.NDArray[Any]


class FloatEngine:
    """Runs a trained network in floats.

    Args:
        network: takes uint8 pixels; in evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def logits(self, pixels: Array) -> Array:
        """See `Engine`."""
        with torch.no_grad():
            logits: Tensor = self.network(torch.from_numpy(pixels))
        return logits.numpy()

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        found: dict[str, Array] = {}

        def hook_of(layer: str) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Codes) -> None:
                found[layer] = output.values.numpy().astype(np.int32)

            return hook

        hooks = [
            quantizer.register_forward_hook(hook_of(layer)) for layer, quantizer in act_quantizers(self.network).items()
        ]
        logits = self.logits(pixels)
        for hook in hooks:
            hook.remove()
        return logits, found
