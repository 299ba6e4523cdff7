"""Where values lie in memory: those no longer needed make room for others."""

from collections.abc import Mapping, Sequence

from apot_lit.graph.shapes import Shape
from apot_lit.graph.steps import INPUT, Flatten, Quantize, Step

_ALIGNMENT = 16


def plan_workspace(steps: Sequence[Step], shapes: Mapping[str, Shape]) -> tuple[dict[str, int], int]:
    """Assigns each value of one image a place in a single block of memory.

    A value keeps its place from the step that computes it to the last step that reads it; places are given first-fit.
    A flattened value lies where it lay before.

    Args:
        steps: the network.
        shapes: from `infer_shapes`.

    Returns:
        Offset in bytes by name, -1 for the input, and the size of the block.
    """
    last_read = {name: index for index, step in enumerate(steps) for name in step.inputs}
    last_read[steps[-1].output] = len(steps)
    alias = {step.output: step.inputs[0] for step in steps if isinstance(step, Flatten)}
    for flat, source in alias.items():
        last_read[source] = max(last_read[source], last_read.get(flat, 0))
    offsets = {INPUT: -1}
    living: list[tuple[int, int, str]] = []  # start, end, name
    total = 0
    for index, step in enumerate(steps):
        if step.output in alias:
            offsets[step.output] = offsets[alias[step.output]]
            continue
        channels, height, width = shapes[step.output]
        bytes_needed = channels * height * width * (1 if isinstance(step, Quantize) else 4)
        bytes_needed = -(-bytes_needed // _ALIGNMENT) * _ALIGNMENT
        start = 0
        for begin, end, _ in sorted(living):
            if start + bytes_needed <= begin:
                break
            start = max(start, end)
        offsets[step.output] = start
        total = max(total, start + bytes_needed)
        living.append((start, start + bytes_needed, step.output))
        living = [place for place in living if last_read.get(place[2], index) > index]
    return offsets, total
