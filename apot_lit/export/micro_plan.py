"""From a network of integers to operations of the runtime for microcontrollers, and where values lie in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from apot_lit.errors import UserError
from apot_lit.export.workspace import Need, plan_workspace
from apot_lit.graph.shapes import Shape, infer_shapes
from apot_lit.graph.steps import INPUT, Add, Flatten, MaxPool, Relu, Step
from apot_lit.integer.network import Accumulate, Head, IntegerNetwork, Rescale, SumPositions, Threshold

EIGHT = 8
_NIBBLES, _INT32 = 16, 2**31 - 1
_WORD = 4
_Kind = TypeVar("_Kind", bound=Step)


@dataclass(frozen=True)
class Operation:
    """What the runtime computes in one go.

    Attributes:
        step: a convolution, a sum, a ReLU, a quantiser or the last layer.
        source: name of the value that it reads.
        output: name of the value that it computes.
        place: name of the memory that it is put into, perhaps that of the value which is added.
        shape: of the output.
        norm: batch norm of the sums of a convolution.
        has_relu: whether values below 0 become 0 then.
        added: name of the value that is added then.
        has_second_relu: whether values below 0 become 0 once more.
        pool: whose windows' largest values are taken then.
        threshold: by which values become codes at the end.
    """

    step: Step
    source: str
    output: str
    place: str
    shape: Shape
    norm: Rescale | None = None
    has_relu: bool = False
    added: str | None = None
    has_second_relu: bool = False
    pool: MaxPool | None = None
    threshold: Threshold | None = None

    @property
    def codes(self) -> Threshold | None:
        """The quantiser whose codes it stores."""
        return self.step if isinstance(self.step, Threshold) else self.threshold

    @property
    def eights(self) -> int:
        """How many times eight values one output adds up, the last ones filled up."""
        if isinstance(self.step, Accumulate):
            return -(-self.step.weight[0].size // EIGHT)
        return -(-self.step.weight.shape[1] // EIGHT) if isinstance(self.step, Head) else 0

    def bytes(self, stream_bytes: int) -> int:
        """Of the output in memory."""
        channels, height, width = self.shape
        if isinstance(self.step, Head):
            return 0
        if self.codes is None:
            return height * width * channels * stream_bytes
        return height * width * (-(-channels // 2) if has_nibbles(self.codes) else channels)


def has_nibbles(threshold: Threshold) -> bool:
    """Whether two codes are stored in a byte, as indices of levels."""
    return len(threshold.codes) <= _NIBBLES


def plan_micro(network: IntegerNetwork) -> list[Operation]:
    """The operations of a network whose batch norms are not folded, in the order of computation.

    What is done to a convolution's sums and read by nothing else goes with it: batch norm, ReLU, a sum with what is
    there already, and a max-pool or a quantiser at the end; so their inputs never lie in memory.

    Raises:
        UserError: for a network that the runtime can't compute.
    """
    planner = _Planner(network)
    for step in network.steps:
        if step.output not in planner.done:
            planner.add(step)
    return planner.operations


def place_operations(operations: Sequence[Operation], stream_bytes: int) -> tuple[dict[str, int], int]:
    """Where values and what convolutions read at once lie, by name; and the bytes of it all."""
    needs: list[Need] = []
    placed: set[str] = set()
    for index, operation in enumerate(operations):
        patch = patch_name(index)
        read = [operation.source, *([operation.added] if operation.added else [])]
        if operation.eights:
            needs.append(Need(patch, _WORD * EIGHT * operation.eights, (), False))
            read.append(patch)
        is_new = operation.place not in placed
        name = operation.place if is_new else f"{operation.output} in place"
        size = operation.bytes(stream_bytes) if is_new else 0
        needs.append(Need(name, size, tuple(read), isinstance(operation.step, Threshold)))
        placed.add(operation.place)
    return plan_workspace(needs)


def patch_name(index: int) -> str:
    """Name of what an operation reads at once."""
    return f"patch of {index}"


class _Planner:
    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network
        self.shapes = infer_shapes(network.steps, network.input_shape)
        self.readers: dict[str, list[Step]] = {}
        for step in network.steps:
            for name in step.inputs:
                self.readers.setdefault(name, []).append(step)
        self.places: dict[str, str] = {INPUT: INPUT}
        self.positions: dict[str, int] = {}
        self.operations: list[Operation] = []
        self.done: set[str] = set()

    def add(self, step: Step) -> None:
        self.done.add(step.output)
        if isinstance(step, Accumulate):
            self._convolution(step)
        elif isinstance(step, Threshold):
            if len(step.codes) > 256:
                raise UserError(f"layer {step.layer}: reads more than 256 levels, which do not fit into 8 bits")
            self._put(Operation(step, self._place(step.inputs[0]), step.output, step.output, self.shapes[step.output]))
        elif isinstance(step, Add | Relu):
            self._sum(step)
        elif isinstance(step, SumPositions | Flatten):
            (source,) = step.inputs
            if isinstance(step, SumPositions) and step.positions * (self.network.largest + 1) > _INT32:
                raise UserError(f"{step.output}: a sum over {step.positions:,} positions does not fit into 32 bits")
            is_summed = isinstance(step, SumPositions) or source in self.positions
            if not is_summed and self.shapes[source][1:] != (1, 1):
                raise UserError(f"{step.output}: microcontrollers read a sum over positions, not a map of several")
            self.places[step.output] = self._place(source)
            self.positions[step.output] = step.positions if isinstance(step, SumPositions) else 1
            if source in self.positions:
                self.positions[step.output] = self.positions[source]
        elif isinstance(step, Head):
            self._put(Operation(step, self._place(step.inputs[0]), step.output, step.output, self.shapes[step.output]))
        else:
            raise UserError(f"{step.output}: the runtime for microcontrollers can't compute {type(step).__name__}")

    def _convolution(self, step: Accumulate) -> None:
        if step.is_signed:
            raise UserError(f"layer {step.layer}: the runtime for microcontrollers has no codes with a sign")
        if step.groups != 1 or step.dilation != (1, 1):
            raise UserError(f"layer {step.layer}: the runtime for microcontrollers has no groups and no dilation")
        norm = self._reader(step, Rescale)
        if norm is None:
            raise UserError(f"layer {step.layer}: its sums must be read by one batch norm alone")
        operation = Operation(step, self._place(step.inputs[0]), "", "", (0, 0, 0), self._take(norm))
        last: Step = norm
        if relu := self._reader(last, Relu):
            operation, last = replace(operation, has_relu=True), self._take(relu)
        if (add := self._reader(last, Add)) and (added := self._other(add, last)):
            operation, last = replace(operation, added=self._place(added)), self._take(add)
            if relu := self._reader(last, Relu):
                operation, last = replace(operation, has_second_relu=True), self._take(relu)
            if self._is_read(added):
                operation = replace(operation, place=self._place(added))
        elif pool := self._reader(last, MaxPool):
            operation, last = replace(operation, pool=pool), self._take(pool)
        elif threshold := self._reader(last, Threshold):
            operation, last = replace(operation, threshold=threshold), self._take(threshold)
        place = operation.place or last.output
        self._put(replace(operation, output=last.output, place=place, shape=self.shapes[last.output]))

    def _sum(self, step: Add | Relu) -> None:
        output, has_relu = step.output, isinstance(step, Relu)
        if not has_relu and (relu := self._reader(step, Relu)):
            output, has_relu = self._take(relu).output, True
        added = self._place(step.inputs[1]) if isinstance(step, Add) else None
        source = self._place(step.inputs[0])
        self._put(Operation(step, source, output, output, self.shapes[output], None, has_relu, added))

    def _put(self, operation: Operation) -> None:
        self.places[operation.output] = operation.place
        self.operations.append(operation)

    def _reader(self, step: Step, kind: type[_Kind]) -> _Kind | None:
        """The step that alone reads a value, if it is of a kind."""
        readers = self.readers.get(step.output, [])
        return readers[0] if len(readers) == 1 and isinstance(readers[0], kind) else None

    def _other(self, add: Add, one: Step) -> str | None:
        """The other value of a sum, if it is there already and lies in memory as a map of the stream."""
        return next((name for name in add.inputs if name != one.output and name in self.places), None)

    def _is_read(self, name: str) -> bool:
        """Whether nothing reads a value any more, nor its sums over positions, which are made where they are read."""
        readers = self.readers.get(name, [])
        return all(
            reader.output in self.done
            and (not isinstance(reader, SumPositions | Flatten) or self._is_read(reader.output))
            for reader in readers
        )

    def _take(self, step: _Kind) -> _Kind:
        self.done.add(step.output)
        return step

    def _place(self, name: str) -> str:
        return self.places[name]
