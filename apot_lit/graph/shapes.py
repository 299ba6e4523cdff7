"""Sizes of the values that steps compute, for one image."""

from collections.abc import Sequence

from apot_lit.errors import UserError
from apot_lit.graph.steps import (
    INPUT,
    AnyConvolution,
    AnyLinear,
    Concatenate,
    Flatten,
    OfSize,
    OverPositions,
    OverWindows,
    Step,
)

Shape = tuple[int, int, int]
"""Channels, height and width."""


def infer_shapes(steps: Sequence[Step], input_shape: Shape) -> dict[str, Shape]:
    """Returns the shape of the input and of every step's output.

    Raises:
        UserError: naming a layer that does not fit the input.
    """
    shapes = {INPUT: input_shape}
    for step in steps:
        channels, height, width = shapes[step.inputs[0]]
        if isinstance(step, AnyConvolution):
            outputs, inputs, *kernel = step.weight.shape
            if inputs * step.groups != channels:
                raise UserError(f"layer {step.layer}: reads {inputs * step.groups} channels, gets {channels}")
            reach = [dilation * (size - 1) + 1 for dilation, size in zip(step.dilation, kernel, strict=True)]
            rows, columns = _slide((height, width), reach, step.stride, step.padding)
            shapes[step.output] = outputs, rows, columns
        elif isinstance(step, OverWindows):
            shapes[step.output] = channels, *_slide((height, width), step.kernel, step.stride, step.padding)
        elif isinstance(step, OfSize):
            shapes[step.output] = channels, *step.size
        elif isinstance(step, Concatenate):
            found = [shapes[name] for name in step.inputs]
            if {shape[1:] for shape in found} != {(height, width)}:
                sizes = ", ".join(f"{h}x{w}" for _, h, w in found)
                raise UserError(f"{step.output}: joins the channels of maps of one size, gets {sizes}")
            shapes[step.output] = sum(shape[0] for shape in found), height, width
        elif isinstance(step, OverPositions):
            shapes[step.output] = channels, 1, 1
        elif isinstance(step, Flatten):
            shapes[step.output] = channels * height * width, 1, 1
        elif isinstance(step, AnyLinear):
            if step.weight.shape[1] != channels * height * width:
                raise UserError(
                    f"layer {step.layer}: reads {step.weight.shape[1]} values, gets {channels * height * width}"
                )
            shapes[step.output] = len(step.weight), 1, 1
        else:
            shapes[step.output] = channels, height, width
    return shapes


def _slide(
    size: tuple[int, int], reach: Sequence[int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
    rows, columns = ((size[i] + 2 * padding[i] - reach[i]) // stride[i] + 1 for i in (0, 1))
    return rows, columns
