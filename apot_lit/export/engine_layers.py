"""Layers as exported C tells them, and codes by layer; the same for every engine that calls it."""

import ctypes
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Layer = tuple[str, tuple[int, ...]]
"""Name and shape of the weights of a layer, or of the codes that it reads."""


def library_layers(functions: ctypes.CDLL, of_weights: bool) -> list[Layer]:
    """The layers of a library, whose functions return what apot_inspect.h or apot_micro_inspect.h says."""
    size = functions.apot_layer_size
    return [
        (
            functions.apot_layer_name(of_weights, layer).decode(),
            tuple(size(of_weights, layer, dimension) for dimension in range(4)),
        )
        for layer in range(functions.apot_layer_count(of_weights))
    ]


def code_count(layers: Sequence[Layer]) -> int:
    """Number of the codes of one image that all layers read; 1 if there are none, so that there is a place for them."""
    return max(1, sum(prod(shape) for _, shape in layers))


def codes_by_layer(codes: Array, layers: Sequence[Layer]) -> Mapping[str, Array]:
    """Codes ``[N, all]`` as ``[N, C, H, W]`` by layer, which lie one behind the other."""
    ends = np.cumsum([prod(shape) for _, shape in layers])
    parts = np.split(codes, ends[:-1], axis=1) if layers else []
    return {name: part.reshape(-1, *shape[:3]) for (name, shape), part in zip(layers, parts, strict=True)}
