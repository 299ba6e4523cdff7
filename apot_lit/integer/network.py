"""The network of integers: what is computed, step by step, every bit of it defined.

Values are of five kinds:

- pixels, uint8;
- codes of activations, uint8, or int8 where they carry a sign;
- accumulators, the sums of products of codes or of the stream's values within windows, int32;
- the stream, fixed point with `fraction` fractional bits in `stream_bit` bits, saturating: what batch norms, residual
  sums and pooling give;
- sums over positions and logits, int64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apot_lit.graph.shapes import Shape
from apot_lit.graph.steps import AnyConvolution, AnyLinear, Codes, OverPositions, OverWindows, Step
from apot_lit.quant.levels import LevelSet

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Accumulate(AnyConvolution):
    """Convolution over integers, ``conv(multiplier * input - offset, weight)``, zero padding of the difference.

    Attributes:
        weight: int8 codes.
        multiplier: 1 for codes; of pixels q of `PixelInput`.
        offset: 0 for codes; of pixels r of `PixelInput`.
        largest: the largest input, before multiplier and offset.
        is_signed: whether inputs are codes with a sign, the smallest one being ``-largest``.
    """

    weight: Codes
    multiplier: int
    offset: int
    largest: int
    is_signed: bool = False

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest number that is multiplied with weights, 0 being between them."""
        smallest = -self.largest if self.is_signed else min(0, -self.offset)
        return smallest, self.multiplier * self.largest - self.offset


@dataclass(frozen=True)
class Rescale(Step):
    """Batch norm and scales, onto the stream: ``saturate((x * multiplier + bias) >> shift)`` per channel.

    Half a step is within the bias, so that the arithmetic shift rounds half up.

    Attributes:
        multiplier: ``[C]``, at most 16 bits with the sign.
        bias: ``[C]``.
        shift: ``[C]``, 0 to 40.
        layer: name of the layer whose output this is.
    """

    multiplier: Int32
    bias: Int64
    shift: Int32
    layer: str


@dataclass(frozen=True)
class Threshold(Step):
    """The stream's values to codes: ``codes[number of thresholds at or below the value]``.

    Attributes:
        thresholds: ascending, one less than there are codes; one that no value reaches is ``2^(stream_bit - 1)``.
        codes: of the levels, ascending, mirrored where they carry a sign.
        levels: the level set.
        layer: name of the layer whose input this is.
    """

    thresholds: Int32
    codes: tuple[int, ...]
    levels: LevelSet
    layer: str


@dataclass(frozen=True)
class ChannelThreshold(Step):
    """Accumulators to codes, batch norm within: ``codes[number of thresholds at or below sign * accumulator]``.

    Attributes:
        thresholds: ``[C, K - 1]``, ascending along the second axis.
        sign: ``[C]``, 1 or -1.
        codes: as of `Threshold`.
        levels: the level set.
        layer: name of the layer whose input this is.
    """

    thresholds: Int64
    sign: Int32
    codes: tuple[int, ...]
    levels: LevelSet
    layer: str


@dataclass(frozen=True)
class Clip(Step):
    """``min(max(x, lowest), highest)`` on the stream.

    Attributes:
        lowest: the smallest value of the stream where there is no bound.
        highest: the largest likewise.
    """

    lowest: int
    highest: int


@dataclass(frozen=True)
class SumWindows(OverWindows):
    """Sum of each window, what is beyond the edge being 0; a `Rescale` makes means of them."""


@dataclass(frozen=True)
class SumPositions(OverPositions):
    """Sum over height and width; the division into a mean is within the head.

    Attributes:
        positions: how many values are added up.
    """

    positions: int


@dataclass(frozen=True)
class Head(AnyLinear):
    """Logits, ``weight @ input + bias``.

    Attributes:
        weight: int8 codes.
        bias: ``[O]``.
    """

    weight: Codes
    bias: Int64


@dataclass(frozen=True)
class IntegerNetwork:
    """A network whose every value is an integer.

    Attributes:
        steps: in an order in which they can be computed. Beside the classes of this module these are `Relu`, `Add`
            (saturating), `MaxPool`, `Concatenate`, `Repeat` and `Flatten` of `apot_lit.graph.steps`, on the stream.
        input_shape: channels, height and width of an image.
        stream_bit: bits of the stream, 8 to 16.
        fraction: how many of them are fractional bits, f: a value v stands for ``v / 2^f``.
        logit_scale: what 1 in the logits stands for. The class needs no float: it is that of the first largest logit.
    """

    steps: Sequence[Step]
    input_shape: Shape
    stream_bit: int
    fraction: int
    logit_scale: float

    def __repr__(self) -> str:
        """What it is, in one line."""
        facts = f"input_shape={self.input_shape}, stream_bit={self.stream_bit}, fraction={self.fraction}"
        return f"IntegerNetwork({len(self.steps)} steps, {facts}, logit_scale={self.logit_scale:.4g})"

    @property
    def largest(self) -> int:
        """The largest value of the stream; the smallest is ``-largest - 1``."""
        return 2 ** (self.stream_bit - 1) - 1
