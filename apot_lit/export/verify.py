"""Proof that an exported network is the network of integers it comes from: every weight, every code, every logit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from apot_lit.errors import UserError
from apot_lit.graph.steps import AnyConvolution, AnyLinear
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import ChannelThreshold, IntegerNetwork, Threshold
from apot_lit.runs.text import counted

_BATCH = 500

Array = npt.NDArray[Any]


class Engine(Protocol):
    """Something that runs an exported network."""

    def weights(self) -> Mapping[str, Array]:
        """By layer the weight codes that the export holds, shaped as in torch."""

    def logits(self, pixels: Array) -> Array:
        """Integer logits ``[N, classes]`` of uint8 pixels ``[N, C, H, W]``."""

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """Logits, and by layer the codes ``[N, C, H, W]`` that it reads, but for the first and the last layer.

        Codes with a sign may be given as uint8, less the smallest code.
        """


@dataclass(frozen=True)
class Verification:
    """What was found equal.

    Attributes:
        images: on how many all logits and codes were compared.
        weights: how many weights.
        codes: how many activation codes.
    """

    images: int
    weights: int
    codes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """One line for the terminal."""
        return (
            f"verified: {counted(self.weights, 'weight')}, and all logits and {self.codes:,} activation codes of "
            f"{counted(self.images, 'image')} are equal"
        )


def verify(
    network: IntegerNetwork, engine: Engine, images: Tensor, stored: IntegerNetwork | None = None
) -> Verification:
    """Compares an exported network with the reference executor; nothing may differ.

    Weights are compared first, since some may never be used: a 3x3 kernel on a 1x1 image reads its centre alone. In
    each batch codes are compared layer after layer, so that the first layer that differs is named.

    Args:
        network: what was exported.
        engine: runs the export.
        images: uint8 ``[N, C, H, W]``.
        stored: the network whose weights the export holds, if they are not all of them.

    Raises:
        UserError: naming the first difference.
    """
    weights = _compare_weights(network if stored is None else stored, engine.weights())
    executor, codes = Executor(network), 0
    lowest = {step.layer: step.codes[0] for step in network.steps if isinstance(step, Threshold | ChannelThreshold)}
    for batch in images.split(_BATCH):
        expected, expected_codes = executor.codes(batch)
        found, found_codes = engine.codes(batch.numpy())
        for layer, values in expected_codes.items():
            given = found_codes.get(layer)
            if given is not None and given.dtype == np.uint8:
                given = given.astype(np.int16) + lowest[layer]
            codes += _compare(f"activation codes of layer {layer}", values.numpy(), given)
        _compare("logits", expected.numpy(), found)
        _compare("logits", expected.numpy(), engine.logits(batch.numpy()))
    return Verification(len(images), weights, codes)


def _compare_weights(network: IntegerNetwork, found: Mapping[str, Array]) -> int:
    layers = (step for step in network.steps if isinstance(step, AnyConvolution | AnyLinear))
    return sum(_compare(f"weights of layer {step.layer}", step.weight, found.get(step.layer)) for step in layers)


def _compare(name: str, expected: Array, found: Array | None) -> int:
    """Number of values, all of which are equal; those of linear layers may have more dimensions or fewer."""
    if found is None:
        raise UserError(f"verification failed: the export has no {name}")
    if len(found) == len(expected) and found.size == expected.size:
        found = found.reshape(expected.shape)
    if found.shape != expected.shape:
        raise UserError(f"verification failed: {name}: shape {found.shape} in the export, {expected.shape} expected")
    differing = int(np.count_nonzero(expected != found))
    if differing:
        raise UserError(f"verification failed: {differing:,} of {expected.size:,} {name} differ")
    return expected.size
