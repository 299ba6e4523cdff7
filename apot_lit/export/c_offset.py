"""What the offset of pixels brings to the sums of a convolution that reads a frame of them."""

import numpy as np

from apot_lit.errors import UserError
from apot_lit.export.c_plan import Frame, Map
from apot_lit.integer.network import Accumulate, Int64

_INT32 = 2**31 - 1


def offsets_of(step: Accumulate, frame: Frame, size: tuple[int, int], out: Map) -> tuple[Int64, Int64 | None]:
    """The constants F of ``sum = multiplier * (products of pixels and edge) + F``.

    With pixels p and weights w, the sum is that of ``w (m p - o)`` over the image alone. The products are those of w p over
    the image and of w v over the edge, so ``F = -o sum(w over the image) - m v sum(w over the edge)``. Where v = o / m, F is
    the same everywhere.

    Args:
        step: the convolution.
        frame: what it reads.
        size: height and width of the image.
        out: map of the sums.

    Returns:
        The constants ``[class, output]``, and the class of each position, None if there is one alone.

    Raises:
        UserError: where one does not fit into 32 bits.
    """
    kernel = step.weight.shape[2:]
    masks = [
        np.array(
            [
                [0 <= place * step.stride[k] + tap * step.dilation[k] - frame.padding[k] < size[k] for tap in range(kernel[k])]
                for place in range((out.height, out.width)[k])
            ]
        )
        for k in (0, 1)
    ]
    weight = step.weight.astype(np.int64).sum(1)
    within = np.einsum("okl,yk,xl->yxo", weight, *(mask.astype(np.int64) for mask in masks))
    beyond = weight.sum((1, 2)) - within
    constants = (-step.offset * within - step.multiplier * frame.value * beyond).reshape(-1, len(weight))
    if np.abs(constants).max(initial=0) > _INT32:
        raise UserError(f"layer {step.layer}: the offset of its pixels brings more to its sums than int32 holds")
    found, classes = np.unique(constants, axis=0, return_inverse=True)
    return found, None if len(found) == 1 else classes.reshape(-1).astype(np.int64)
