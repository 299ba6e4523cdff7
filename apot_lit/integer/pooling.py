"""What pooling comes to where the sizes of maps are known: sums for the last layer, windows, or a repetition."""

from collections.abc import Sequence
from dataclasses import replace

from apot_lit.errors import UserError
from apot_lit.graph.shapes import Shape, infer_shapes
from apot_lit.graph.steps import (
    AdaptiveAveragePool,
    AveragePool,
    Flatten,
    GlobalAveragePool,
    Linear,
    Repeat,
    Step,
)
from apot_lit.integer.network import SumPositions


def of_windows(steps: Sequence[Step], input_shape: Shape) -> list[Step]:
    """The same steps with means over the map and adaptive ones resolved.

    A mean that the last layer alone reads, in floats, is a sum, the division being part of the logits' scale. Any other
    is one of windows; where each holds one position, nothing is left of it, or a repetition of a single position.

    Args:
        steps: of a network in floats.
        input_shape: of an image.

    Raises:
        UserError: for adaptive pooling to a size that does not divide the map's.
    """
    shapes = infer_shapes(steps, input_shape)
    names: dict[str, str] = {}
    found: list[Step] = []
    for step in steps:
        step = replace(step, inputs=tuple(names.get(name, name) for name in step.inputs))
        _, *size = shapes[step.inputs[0]]
        if isinstance(step, GlobalAveragePool) and is_read_by_head(step, steps):
            found.append(SumPositions(step.output, step.inputs, size[0] * size[1]))
        elif isinstance(step, AdaptiveAveragePool | GlobalAveragePool):
            wanted = step.size if isinstance(step, AdaptiveAveragePool) else (1, 1)
            if tuple(size) == wanted:
                names[step.output] = step.inputs[0]
            else:
                found.append(_resolved(step, (size[0], size[1]), wanted))
        else:
            found.append(step)
    return found


def _resolved(step: Step, size: tuple[int, int], wanted: tuple[int, int]) -> Step:
    if size == (1, 1):
        return Repeat(step.output, step.inputs, wanted)
    if size[0] % wanted[0] or size[1] % wanted[1]:
        from_to = (f"{height}x{width}" for height, width in (size, wanted))
        raise UserError("{}: a map of {} can't be averaged to {}, which must divide it".format(step.output, *from_to))
    windows = size[0] // wanted[0], size[1] // wanted[1]
    return AveragePool(step.output, step.inputs, windows, windows, (0, 0))


def is_read_by_head(step: Step, steps: Sequence[Step]) -> bool:
    """Whether nothing but a last linear layer in floats reads what a step computes."""
    readers = [reader for reader in steps if step.output in reader.inputs]
    return all(
        reader is steps[-1] or (isinstance(reader, Flatten) and is_read_by_head(reader, steps)) for reader in readers
    ) and (isinstance(steps[-1], Linear))
