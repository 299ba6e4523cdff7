"""Runs the network of integers of a packed file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from apot_lit.graph.steps import AnyConvolution, AnyLinear
from apot_lit.stored.packed import load_packed

Array = npt.NDArray[Any]


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
