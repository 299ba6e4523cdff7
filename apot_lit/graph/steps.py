"""A network in evaluation mode as a list of steps over named values, which every export format writes down."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apot_lit.quant.levels import LevelSet

Floats = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]


def mirrored(levels: LevelSet) -> tuple[int, ...]:
    """The codes of levels with a sign, ascending."""
    return (*(-code for code in reversed(levels.codes[1:])), *levels.codes)


INPUT = "pixels"
"""Name of the network's input, uint8 pixels ``[N, C, H, W]``."""


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        output: name of the value it computes.
        inputs: names of the values it reads.
    """

    output: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Normalize(Step):
    """Pixels to floats: ``(pixel - offset) * scale``.

    Attributes:
        offset: 255 times the mean.
        scale: per pixel value.
        multiplier: the q of `PixelInput`, for which ``q * offset`` is a whole number; None where there is none.
    """

    offset: float
    scale: float
    multiplier: int | None


@dataclass(frozen=True)
class Quantize(Step):
    """Floats to activation codes: ``table[trunc(clip(x * factor, 0, 2 unit))]``, the rule of `apot_lit.quant`.

    Attributes:
        factor: ``2 * unit / alpha``, float32.
        unit: the largest code.
        table: code of every half-grid index, 0 to 2 unit.
        levels: the level set.
        layer: name of the layer whose input this is.
        signed: whether codes carry a sign, values below 0 having those of their magnitudes.
    """

    factor: float
    unit: int
    table: tuple[int, ...]
    levels: LevelSet
    layer: str
    signed: bool = False

    @property
    def codes(self) -> tuple[int, ...]:
        """All codes, ascending."""
        return mirrored(self.levels) if self.signed else self.levels.codes


@dataclass(frozen=True)
class AnyConvolution(Step):
    """What convolutions over floats and over integers share.

    Attributes:
        weight: int8 codes, or float32 weights of a layer in full precision, ``[O, I / groups, H, W]``.
        levels: level set of the weights' magnitudes, None for weights of the first or last layer or float ones.
        layer: name of the layer.
    """

    weight: Codes | Floats
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    levels: LevelSet | None
    layer: str


@dataclass(frozen=True)
class Convolution(AnyConvolution):
    """``scale * conv(input - zero_point, weight) + bias``.

    Attributes:
        integer: whether the input is codes or pixels, so that the convolution is one of integers.
        zero_point: what the input's padding is, and what is subtracted from it.
        scale: of all outputs or of each, None for 1.
        bias: per output channel, or None.
    """

    integer: bool
    zero_point: int
    scale: float | Reals | None
    bias: Floats | None


@dataclass(frozen=True)
class AnyLinear(Step):
    """What linear layers over floats and over integers share.

    Attributes:
        weight: int8 codes, or float32 weights of a layer in full precision, ``[O, I]``.
        layer: name of the layer.
    """

    weight: Codes | Floats
    layer: str


@dataclass(frozen=True)
class Linear(AnyLinear):
    """``scale * (input @ weight.T) + bias``; attributes as `Convolution`."""

    scale: float | Reals | None
    bias: Floats | None
    levels: LevelSet | None


@dataclass(frozen=True)
class Affine(Step):
    """Batch norm in evaluation: ``x * factor + offset`` per channel."""

    factor: Floats
    offset: Floats


@dataclass(frozen=True)
class Relu(Step):
    """``max(x, 0)``."""


@dataclass(frozen=True)
class Add(Step):
    """Sum of two values."""


@dataclass(frozen=True)
class Clamp(Step):
    """``min(max(x, lowest), highest)``, as ReLU6 does; None where there is no bound."""

    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class Concatenate(Step):
    """The channels of several values, one after the other."""


@dataclass(frozen=True)
class OverWindows(Step):
    """One value for each window of height and width; windows reach over the edge by `padding`."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class MaxPool(OverWindows):
    """Largest value of each window."""


@dataclass(frozen=True)
class AveragePool(OverWindows):
    """Mean of each window; what is beyond the edge counts as 0."""


@dataclass(frozen=True)
class OfSize(Step):
    """A value of another height and width."""

    size: tuple[int, int]


@dataclass(frozen=True)
class AdaptiveAveragePool(OfSize):
    """Means over windows that cover the map, as `torch.nn.AdaptiveAvgPool2d` has them."""


@dataclass(frozen=True)
class Repeat(OfSize):
    """A value of one position, at every position."""


@dataclass(frozen=True)
class OverPositions(Step):
    """One value for height and width."""


@dataclass(frozen=True)
class GlobalAveragePool(OverPositions):
    """Mean over height and width."""


@dataclass(frozen=True)
class Flatten(Step):
    """``[N, C, H, W]`` to ``[N, C H W]``."""
