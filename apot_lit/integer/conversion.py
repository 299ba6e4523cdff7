"""From a network in evaluation mode to a network of integers."""

from torch import Tensor, nn

from apot_lit.graph.shapes import Shape
from apot_lit.graph.trace import build_steps
from apot_lit.integer.calibration import TRIAL_BIT, TRIAL_FRACTION, choose_fraction
from apot_lit.integer.converter import Converter
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.integer.network import IntegerNetwork

STREAM_BIT = 16


def to_integers(network: nn.Module, images: Tensor, stream_bit: int = STREAM_BIT, fold: bool = True) -> IntegerNetwork:
    """Converts a trained network into one of integers.

    Batch norms become a multiplication, an addition and a shift, quantisers become comparisons. The stream has as many
    fractional bits as `choose_fraction` finds for some images.

    Args:
        network: in evaluation mode; see `build_steps`. Every convolution but the first reads quantised activations, and
            all weights are quantised.
        images: uint8 ``[N, C, H, W]``, of those that the network was trained with.
        stream_bit: bits of the stream, 8 to 16.
        fold: whether batch norms that a quantiser alone reads become thresholds on the accumulators, see
            `fold_batch_norms`. No bit of codes or logits depends on it.

    Raises:
        UserError: naming a layer that can't be integers, and what would help.
    """
    steps, shape = build_steps(network), _shape(images)

    def convert(fraction: int, bit: int) -> IntegerNetwork:
        return Converter(steps, shape, fraction, bit).convert()

    integers = convert(choose_fraction(convert, images, stream_bit), stream_bit)
    return fold_batch_norms(integers) if fold else integers


def check_convertible(network: nn.Module, images: Tensor) -> None:
    """Raises `UserError` as `to_integers` does, except for what its values are too large for."""
    Converter(build_steps(network), _shape(images), TRIAL_FRACTION, TRIAL_BIT).convert()


def _shape(images: Tensor) -> Shape:
    _, channels, height, width = images.shape
    return channels, height, width
