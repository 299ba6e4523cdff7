"""Networks without the weights that no output ever reads: those of taps that always lie beyond the edge of a map."""

from dataclasses import replace

from apot_lit.graph.shapes import infer_shapes
from apot_lit.graph.steps import Step
from apot_lit.integer.network import Accumulate, IntegerNetwork


def trim_taps(network: IntegerNetwork) -> IntegerNetwork:
    """Cuts off rows and columns of kernels that read nothing but padding; every value stays as it is.

    A 3x3 kernel with a padding of 1 reads a map of one position by its centre alone, and one of four positions at a
    stride of 2 by four of its nine taps. A kernel without which a map would have another size stays whole.
    """
    shapes = infer_shapes(network.steps, network.input_shape)
    steps: list[Step] = []
    for step in network.steps:
        if isinstance(step, Accumulate) and step.dilation == (1, 1):
            trimmed = _trimmed(step, shapes[step.inputs[0]][1:], shapes[step.output][1:])
            found = infer_shapes([*steps, trimmed], network.input_shape)[step.output]
            steps.append(trimmed if found == shapes[step.output] else step)
        else:
            steps.append(step)
    return replace(network, steps=steps)


def _trimmed(step: Accumulate, size: tuple[int, ...], outputs: tuple[int, ...]) -> Accumulate:
    rows, columns = (
        _read_taps(size[k], outputs[k], step.weight.shape[2 + k], step.stride[k], step.padding[k]) for k in (0, 1)
    )
    weight = step.weight[:, :, rows.start : rows.stop, columns.start : columns.stop].copy()
    return replace(step, weight=weight, padding=(step.padding[0] - rows.start, step.padding[1] - columns.start))


def _read_taps(size: int, outputs: int, kernel: int, stride: int, padding: int) -> range:
    """Along one direction, the taps from the first to the last that some output reads on the map.

    Examples:
        >>> _read_taps(size=1, outputs=1, kernel=3, stride=1, padding=1)
        range(1, 2)
        >>> _read_taps(size=2, outputs=1, kernel=3, stride=2, padding=1)
        range(1, 3)
        >>> _read_taps(size=4, outputs=2, kernel=3, stride=2, padding=1)
        range(0, 3)
    """
    read = [tap for tap in range(kernel) if any(0 <= o * stride - padding + tap < size for o in range(outputs))]
    # Every output of a kernel that reads nothing is 0, whichever taps are left; a padding can't be cut below none.
    return range(min(read[0], padding), read[-1] + 1) if read else range(kernel)
