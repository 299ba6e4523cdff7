"""Runs networks in torch: trained ones and packed ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from apot_lit.graph.steps import AnyConvolution, AnyLinear
from apot_lit.quant.convert import act_quantizers, quant_layers
from apot_lit.quant.quantizers import Codes
from apot_lit.stored.packed import load_packed

Array = npt.NDArray[Any]


class TorchEngine:
    """Runs a network in torch.

    Args:
        network: takes uint8 pixels; in evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def weights(self) -> Mapping[str, Array]:
        """See `Engine`."""
        with torch.no_grad():
            layers = dict(quant_layers(self.network))
            return {name: layer.weight_quantizer(layer.weight).values.numpy() for name, layer in layers.items()}

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
                found[layer] = output.values.numpy().astype(np.uint8)

            return hook

        hooks = [
            quantizer.register_forward_hook(hook_of(layer)) for layer, quantizer in act_quantizers(self.network).items()
        ]
        logits = self.logits(pixels)
        for hook in hooks:
            hook.remove()
        return logits, found


class PackedEngine:
    """Runs the network of integers of a packed file, with the reference executor.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.executor = load_packed(path)

    def weights(self) -> Mapping[str, Array]:
        """See `Engine`."""
        layers = (step for step in self.executor.network.steps if isinstance(step, AnyConvolution | AnyLinear))
        return {step.layer: step.weight for step in layers}

    def logits(self, pixels: Array) -> Array:
        """See `Engine`."""
        return self.executor(torch.from_numpy(pixels)).numpy()

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        logits, codes = self.executor.codes(torch.from_numpy(pixels))
        return logits.numpy(), {layer: values.numpy() for layer, values in codes.items()}
