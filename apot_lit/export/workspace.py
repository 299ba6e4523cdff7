"""Where values lie in memory: those no longer needed make room for others, and some take the place of what they come from."""

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 16


@dataclass(frozen=True)
class Need:
    """A value that one step computes.

    Attributes:
        name: of the value.
        size: bytes; 0 for one that does not lie there.
        inputs: names of the values that the step reads.
        is_in_place: whether the value may begin where one of these does, if nothing else reads that one later.
    """

    name: str
    size: int
    inputs: tuple[str, ...]
    is_in_place: bool


@dataclass
class _Room:
    """Memory that one value takes after another."""

    size: int
    first: int
    last: int
    offset: int = 0


def plan_workspace(needs: Sequence[Need]) -> tuple[dict[str, int], int]:
    """Assigns each value of one image a place in a single block of memory.

    A value keeps its place from the step that computes it to the last one that reads it. The largest get theirs first,
    each at the lowest offset that is free for so long.

    Args:
        needs: in the order of computation.

    Returns:
        Offset in bytes by name, and the size of the block.
    """
    last_read = {need.name: index for index, need in enumerate(needs)}
    last_read |= {name: index for index, need in enumerate(needs) for name in need.inputs}
    rooms: dict[str, _Room] = {}
    for index, need in enumerate(needs):
        free = [rooms[name] for name in need.inputs if name in rooms and last_read[name] == index]
        taken = next((room for room in free if need.is_in_place and need.size <= room.size and room.last == index), None)
        if taken is None:
            rooms[need.name] = _Room(-(-need.size // ALIGNMENT) * ALIGNMENT, index, last_read[need.name])
        else:
            taken.last = last_read[need.name]
            rooms[need.name] = taken
    placed: list[_Room] = []
    for room in sorted({id(room): room for room in rooms.values()}.values(), key=lambda room: -room.size):
        others = sorted(
            (other.offset, other.offset + other.size)
            for other in placed
            if other.first <= room.last and room.first <= other.last
        )
        for begin, end in others:
            if room.offset + room.size <= begin:
                break
            room.offset = max(room.offset, end)
        placed.append(room)
    total = max((room.offset + room.size for room in placed), default=0)
    return {name: room.offset for name, room in rooms.items()}, max(total, ALIGNMENT)
