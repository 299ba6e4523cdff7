"""Operations of the C runtime, and maps as they lie in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from apot_lit.graph.shapes import Shape
from apot_lit.graph.steps import Add, MaxPool, Relu, Step
from apot_lit.integer.network import ChannelThreshold, Clip, Rescale, Threshold

QUAD = 4


@dataclass(frozen=True)
class Map:
    """A map in memory: position after position, the channels of each together.

    Attributes:
        pitch: values from one position to the next; what is beyond `channels` fills up.
    """

    channels: int
    height: int
    width: int
    pitch: int

    @property
    def size(self) -> int:
        """Number of values."""
        return self.height * self.width * self.pitch


@dataclass(frozen=True)
class Frame(Step):
    """Pixels as a map with an edge around it.

    Attributes:
        padding: rows above and below, columns on either side.
        value: what stands there.
    """

    padding: tuple[int, int]
    value: int


@dataclass(frozen=True)
class Widen(Step):
    """Values of the stream, or codes, as those of sums, without adding any up."""


@dataclass(frozen=True)
class Copy(Step):
    """Channels of the second input within a map that holds others too: those of the first input, unless it is the same.

    Attributes:
        first: where they begin; 0 for the first ones.
    """

    first: int


@dataclass(frozen=True)
class Operation:
    """What the runtime computes in one go.

    Attributes:
        step: what is done.
        output: name of the value.
        inputs: names of what is read.
        map: of the output.
        width: bytes of one of its values.
        finish: what is done to the sums of a convolution or of windows.
        has_relu: whether values below 0 become 0 at the end.
        reads_signed: whether it is the last layer, of codes with a sign.
    """

    step: Step
    output: str
    inputs: tuple[str, ...]
    map: Map
    width: int
    finish: Rescale | ChannelThreshold | None = None
    has_relu: bool = False
    reads_signed: bool = False

    @property
    def is_in_place(self) -> bool:
        """Whether the output may begin where an input does."""
        if isinstance(self.step, MaxPool):
            return False
        if isinstance(self.step, Copy):
            return self.step.first > 0
        return isinstance(self.step, Relu | Add | Threshold | Clip) or self.is_rescaling

    @property
    def is_rescaling(self) -> bool:
        """Whether it is a batch norm of what is on the stream already."""
        return isinstance(self.step, Rescale)


def map_of(shape: Shape) -> Map:
    """The map of a value, the channels of each position filled up to whole quads."""
    channels, height, width = shape
    return Map(channels, height, width, -(-channels // QUAD) * QUAD)


def values_of(operations: Sequence[Operation]) -> dict[str, Operation]:
    """The operations by name of what they compute."""
    return {operation.output: operation for operation in operations}
