"""Proof that an exported network is the same function as the torch network it comes from."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.quant.convert import quant_layers
from apot_lit.quant.quantizers import ActivationQuantizer, Codes
from apot_lit.runs.text import counted

TIE = 1e-6
_LOGITS = 1e-4  # largest difference of logits after equal codes, where sums of floats differ in their order
_BATCH = 500

Array = npt.NDArray[Any]


class Engine(Protocol):
    """Something that runs an exported network."""

    def logits(self, pixels: Array) -> Array:
        """Logits ``[N, classes]`` of uint8 pixels ``[N, C, H, W]``."""

    def weights(self) -> Mapping[str, Array]:
        """Weights by quantised layer as codes, shaped as in torch, of those layers where the export can be asked."""

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """Logits, and by layer the codes of its input, of the same shape as in torch."""


@dataclass(frozen=True)
class Verification:
    """How an exported network compares with torch.

    Attributes:
        images: how many were classified by both.
        same_predictions: on how many of them both agree.
        tie_images: whose prediction or logits differ, since a value lies within 1e-6 alpha of the midpoint of two
            levels and got the other one; all their further codes are those that follow from it.
        largest_logit_difference: over all images but those.
        code_images: on how many all activation codes were compared.
        codes: how many codes these are.
        ties: codes that differ because the value lies within 1e-6 alpha of the midpoint of two levels.
    """

    images: int
    same_predictions: int
    tie_images: int
    largest_logit_difference: float
    code_images: int
    codes: int
    ties: int

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Three lines for the terminal."""
        compared = f"{self.codes:,} activation codes of {counted(self.code_images, 'image')}"
        on_ties = "all equal" if not self.ties else f"equal but for {self.ties:,} on a tie"
        return (
            f"verified: same prediction on {self.same_predictions:,} of {counted(self.images, 'image')}\n"
            f"  codes: {compared}: {on_ties}\n"
            f"  logits: {self._logits()}"
        )

    def _logits(self) -> str:
        difference = f"differ by at most {self.largest_logit_difference:.2g}, the order of the sums"
        if not self.tie_images:
            return difference
        have = "has" if self.tie_images == 1 else "have"
        return (
            f"{self.tie_images:,} of {counted(self.images, 'image')} {have} a code on a tie, which the last digit of a "
            f"float decides; the others' {difference}"
        )


def verify(network: nn.Module, engine: Engine, images: Tensor, code_images: int = 256) -> Verification:
    """Compares an exported network with the torch network in evaluation mode.

    Weight codes are compared first, since some may never be used: a 3x3 kernel on a 1x1 image reads its centre alone.
    Then every tensor of activation codes is compared, layer after layer: torch gets the codes of the export as input
    of each layer, so that one code that lies on a tie, where a difference in the last digit of a float decides, does
    not change those of the layers after it. Last, all images are classified by both. Those whose prediction or logits
    differ are compared layer by layer too: a tie may have changed everything after it, and nothing else may.

    Args:
        network: the torch network, which takes uint8 pixels.
        engine: runs the export.
        images: uint8 ``[N, C, H, W]``.
        code_images: on how many of them codes are compared.

    Raises:
        UserError: for any difference but ties.
    """
    network = network.eval()
    _compare_weights(network, engine.weights())
    _, codes, ties = _compare_codes(network, engine, images[:code_images])
    same, by_tie, largest = 0, 0, 0.0
    for batch in images.split(_BATCH):
        found = engine.logits(batch.numpy())
        with torch.no_grad():
            expected = network(batch).numpy()
        agree = found.argmax(1) == expected.argmax(1)
        difference, close = _compare_logits(found, expected)
        differing = ~(agree & close)
        if differing.any():
            explained, *_ = _compare_codes(network, engine, batch[torch.from_numpy(differing)])
            _, close = _compare_logits(found[differing], explained)
            if not close.all():
                wrong = int((~close).sum())
                raise UserError(f"verification failed: logits of {wrong} images are not those of their codes")
        same += int(agree.sum())
        by_tie += int(differing.sum())
        largest = max(largest, float(difference[~differing].max(initial=0)))
    return Verification(len(images), same, by_tie, largest, min(code_images, len(images)), codes, ties)


def _compare_logits(found: Array, expected: Array) -> tuple[Array, Array]:
    """The largest difference of each image's logits, and whether it is only that of the order of sums."""
    with np.errstate(invalid="ignore"):  # infinite logits are not close, nor is what is no number
        difference = np.abs(found - expected).max(1)
    return difference, difference <= _LOGITS * np.maximum(1, np.abs(expected).max(1))


@torch.no_grad()
def _compare_weights(network: nn.Module, found: Mapping[str, Array]) -> None:
    for name, layer in quant_layers(network):
        if name in found:
            expected = layer.weight_quantizer(layer.weight).values.numpy()
            differing = int((expected != found[name]).sum()) if expected.shape == found[name].shape else expected.size
            if differing:
                raise UserError(f"verification failed: layer {name}: {differing} weight codes differ from torch")


def _compare_codes(network: nn.Module, engine: Engine, images: Tensor) -> tuple[Array, int, int]:
    """The export's logits, and the numbers of codes compared and of ties that differ."""
    logits, found = engine.codes(images.numpy())
    counts = {"codes": 0, "ties": 0}
    quantizers = act_quantizers(network)
    missing = [layer for layer in quantizers if layer not in found]
    if missing:
        raise UserError(f"verification failed: layer {missing[0]} has no codes in the export")

    def hook_of(layer: str) -> Callable[..., Codes]:
        def hook(quantizer: ActivationQuantizer, inputs: tuple[Tensor], output: Codes) -> Codes:
            theirs = torch.from_numpy(found[layer].astype(np.float32)).view_as(output.values)
            different = theirs != output.values
            counts["codes"] += different.numel()
            codes = torch.stack([output.values[different], theirs[different]])
            counts["ties"] += _count_ties(quantizer, inputs[0][different], codes, layer)
            return Codes(theirs, output.scale)

        return hook

    hooks = [quantizer.register_forward_hook(hook_of(layer)) for layer, quantizer in quantizers.items()]
    try:
        with torch.no_grad():
            expected = network(images).numpy()
    finally:
        for hook in hooks:
            hook.remove()
    difference, close = _compare_logits(logits, expected)
    if not close.all():
        raise UserError(f"verification failed: logits differ by {difference.max():.3g} after the same codes")
    return logits, counts["codes"], counts["ties"]


def _count_ties(quantizer: ActivationQuantizer, values: Tensor, codes: Tensor, layer: str) -> int:
    """Number of values that got two different codes, all of which must lie midway between the two."""
    half = values.double() * (2 * quantizer.unit / float(quantizer.alpha))
    distance = (half - codes.double().sum(0)).abs() / (2 * quantizer.unit)
    wrong = int((distance > TIE).sum())
    if wrong:
        raise UserError(f"verification failed: layer {layer}: {wrong} activation codes differ from torch")
    return len(values)


def act_quantizers(network: nn.Module) -> dict[str, ActivationQuantizer]:
    """The quantisers of activations by the name of the layer whose input they quantise."""
    return {
        name: layer.act_quantizer
        for name, layer in quant_layers(network)
        if isinstance(layer.act_quantizer, ActivationQuantizer)
    }
