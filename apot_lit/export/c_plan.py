"""From a network of integers to operations of the C runtime: what is done in one go, and how maps lie in memory."""

from dataclasses import replace

import numpy as np

from apot_lit.errors import UserError
from apot_lit.export.c_operations import Copy, Frame, Map, Operation, Widen, map_of
from apot_lit.graph.shapes import infer_shapes
from apot_lit.graph.steps import INPUT, Add, Concatenate, Flatten, MaxPool, Relu, Repeat, Step
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Clip,
    Head,
    IntegerNetwork,
    Rescale,
    SumPositions,
    SumWindows,
    Threshold,
)

_INT32 = 2**31 - 1
# What reads a flattened map, which lies as it was before.
_OF_ANY_MAP = (Accumulate, Clip, Flatten, Head, Relu, Threshold)


def plan(network: IntegerNetwork) -> list[Operation]:
    """The operations of a network, in the order of computation.

    A ReLU goes with the batch norm or sum that it alone reads, a convolution with what is done to its sums.

    Raises:
        UserError: for a network that the runtime can't compute.
    """
    return _Planner(network).plan()


class _Planner:
    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network
        self.shapes = infer_shapes(network.steps, network.input_shape)
        self.stream = 1 if network.stream_bit == 8 else 2
        self.readers: dict[str, list[Step]] = {}
        for step in network.steps:
            for name in step.inputs:
                self.readers.setdefault(name, []).append(step)
        self.maps: dict[str, Map] = {}
        self.names: dict[str, str] = {}
        self.operations: list[Operation] = []
        self.done: set[str] = set()

    def plan(self) -> list[Operation]:
        for step in self.network.steps:
            if step.output not in self.done:
                self._add(step)
        return self.operations

    def _add(self, step: Step) -> None:
        if not isinstance(step, _OF_ANY_MAP):
            self._refuse_flattened(step)
        if isinstance(step, Accumulate):
            self._convolution(step)
        elif isinstance(step, Flatten):
            self.names[step.output] = self._name(step.inputs[0])
        elif isinstance(step, Head):
            self._head(step)
        elif isinstance(step, SumPositions):
            if step.positions * (self.network.largest + 1) > _INT32:
                raise UserError(f"{step.output}: a sum over {step.positions:,} positions does not fit into 32 bits")
            pitch = self._map(step.inputs[0]).pitch
            self._put(step, Map(self.shapes[step.output][0], 1, 1, pitch), 4)
        elif isinstance(step, MaxPool):
            self._put(step, map_of(self.shapes[step.output]), self.stream)
        elif isinstance(step, Repeat):
            self._put(replace(step, inputs=step.inputs * 2), map_of(self.shapes[step.output]), self.stream)
        elif isinstance(step, SumWindows):
            self._put(step, map_of(self.shapes[step.output]), self.stream, self._mean(step))
        elif isinstance(step, Concatenate):
            self._concatenate(step)
        elif isinstance(step, Threshold):
            self._put(step, self._map(step.inputs[0]), 1)
        elif isinstance(step, Add | Rescale | Relu | Clip):
            self._put(step, self._map(step.inputs[0]), self.stream)
        else:
            raise UserError(f"{step.output}: the C runtime can't compute {type(step).__name__}")

    def _convolution(self, step: Accumulate) -> None:
        readers = self.readers.get(step.output, [])
        if len(readers) != 1 or not isinstance(readers[0], Rescale | ChannelThreshold):
            raise UserError(f"layer {step.layer}: its sums must be read by one batch norm or quantiser")
        finish = readers[0]
        self.done.add(finish.output)
        if step.inputs[0] == INPUT:
            value = min(255, max(0, round(step.offset / step.multiplier)))
            frame = Frame(f"{step.output}_frame", step.inputs, step.padding, value)
            channels, height, width = self.network.input_shape
            size = (height + 2 * step.padding[0], width + 2 * step.padding[1])
            self._put(frame, Map(channels, *size, channels), 1)
            step = replace(step, inputs=(frame.output,), padding=(0, 0))
        elif (into := self._map(step.inputs[0])).channels != self.shapes[step.inputs[0]][0]:
            # A linear layer, of a map that lies as it was before it was flattened.
            step = replace(step, weight=step.weight.reshape(-1, into.channels, into.height, into.width))
        width = 1 if isinstance(finish, ChannelThreshold) else self.stream
        self._put(step, map_of(self.shapes[step.output]), width, finish)

    def _refuse_flattened(self, step: Step) -> None:
        for name in step.inputs:
            map_ = self.maps.get(self._name(name))
            if map_ is not None and map_.channels != self.shapes[name][0]:
                raise UserError(f"{step.output}: the C runtime can't compute {type(step).__name__} of a flattened map")

    def _mean(self, step: SumWindows) -> Rescale:
        """What is done to the sums of windows, which must be the same for all channels."""
        readers = self.readers.get(step.output, [])
        finish = readers[0] if len(readers) == 1 else None
        if not isinstance(finish, Rescale) or any(
            len({*array.tolist()}) != 1 for array in (finish.multiplier, finish.bias, finish.shift)
        ):
            raise UserError(f"{step.output}: must be read by one multiplication, the same for all channels")
        self.done.add(finish.output)
        return finish

    def _concatenate(self, step: Concatenate) -> None:
        """One copy after the other, each but the first in place of the one before."""
        first, before = 0, ""
        for place, name in enumerate(step.inputs):
            output = step.output if place == len(step.inputs) - 1 else f"{step.output}.part{place}"
            self._put(Copy(output, (before or name, name), first), map_of(self.shapes[step.output]), self.stream)
            first, before = first + self.shapes[name][0], output

    def _head(self, step: Head) -> None:
        (source,) = step.inputs
        found = next(operation for operation in self.operations if operation.output == self._name(source))
        if found.width < 4:
            wide = Widen(f"{step.output}_input", (source,))
            self._put(wide, found.map, 4)
            step = replace(step, inputs=(wide.output,))
        lowest = getattr(found.finish or found.step, "codes", (0,))[0]
        # Codes with a sign lie in memory less their smallest one.
        bias = step.bias + lowest * step.weight.astype(np.int64).sum(1)
        self._put(replace(step, bias=bias), Map(len(step.weight), 1, 1, len(step.weight)), 0)
        self.operations[-1] = replace(self.operations[-1], reads_signed=lowest < 0)

    def _put(self, step: Step, map_: Map, width: int, finish: Rescale | ChannelThreshold | None = None) -> None:
        last: Step = finish or step
        inputs = tuple(self._name(name) for name in step.inputs)
        output, has_relu = last.output, False
        readers = self.readers.get(output, [])
        if isinstance(last, Rescale | Add) and len(readers) == 1 and isinstance(readers[0], Relu):
            output, has_relu = readers[0].output, True
            self.done.add(output)
        self.names[output] = output
        self.maps[output] = map_
        self.operations.append(Operation(step, output, inputs, map_, width, finish, has_relu))

    def _name(self, name: str) -> str:
        """The name under which a value lies in memory."""
        return self.names.get(name, name)

    def _map(self, name: str) -> Map:
        return self.maps[self._name(name)]


def ranges(outputs: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> list[tuple[int, ...]]:
    """Along one direction, the outputs that read the same taps: first, behind the last; first tap, behind the last tap.

    Examples:
        >>> ranges(outputs=4, size=4, kernel=3, stride=1, padding=1, dilation=1)
        [(0, 1, 1, 3), (1, 3, 0, 3), (3, 4, 0, 2)]
    """
    found: list[tuple[int, ...]] = []
    for output in range(outputs):
        places = [output * stride - padding + tap * dilation for tap in range(kernel)]
        taps = [tap for tap, place in enumerate(places) if 0 <= place < size] or [-1]
        first, last = (0, 0) if taps == [-1] else (taps[0], taps[-1] + 1)
        if found and found[-1][2:] == (first, last):
            found[-1] = (found[-1][0], output + 1, first, last)
        else:
            found.append((output, output + 1, first, last))
    return found
