"""Where the dots of single runs stand in pictures: side by side, so that equal ones are all seen."""

from collections.abc import Iterable

from apot_lit.quant.spec import FULL_PRECISION


def side_by_side(place: float, count: int, width: float = 0.12) -> list[float]:
    """Places of so many dots, spread evenly around one: ``place + width * ((i + 1/2) / count - 1/2)``."""
    return [place + width * ((index + 0.5) / count - 0.5) for index in range(count)]


def bit_axis(bits: Iterable[int]) -> dict[int, int]:
    """Where bit widths stand on an axis: each at itself, full precision right of the widest."""
    few = sorted({*bits} - {FULL_PRECISION})
    axis = {bit: bit for bit in few}
    return {**axis, FULL_PRECISION: few[-1] + 1 if few else FULL_PRECISION}
