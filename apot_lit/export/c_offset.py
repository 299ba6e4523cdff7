"""What the offset of pixels, or of codes with a sign, brings to the sums of a convolution."""

import numpy as np

from apot_lit.errors import UserError
from apot_lit.export.c_operations import Frame, Map
from apot_lit.integer.network import Accumulate, Int64

_INT32 = 2**31 - 1


def offsets_of(step: Accumulate, frame: Frame, size: tuple[int, int], out: Map) -> tuple[Int64, Int64 | None]:
    """The constants F of ``sum = multiplier * (products of pixels and edge) + F``.

    With pixels p and weights w, the sum is that of ``w (m p - o)`` over the image alone. The products are those of w p
    over the image and of w v over the edge, so ``F = -o sum(w over the image) - m v sum(w over the edge)``. Where
    v = o / m, F is the same everywhere.

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
    sizes = out.height, out.width
    masks = [_within(sizes[k], size[k], kernel[k], step.stride[k], frame.padding[k], step.dilation[k]) for k in (0, 1)]
    weight = step.weight.astype(np.int64).sum(1)
    within = np.einsum("okl,yk,xl->yxo", weight, *masks)
    beyond = weight.sum((1, 2)) - within
    constants = (-step.offset * within - step.multiplier * frame.value * beyond).reshape(-1, len(weight))
    reach = 2 * step.largest * np.abs(step.weight.reshape(len(step.weight), -1).astype(np.int64)).sum(1)
    if max(np.abs(constants).max(initial=0), reach.max(initial=0) if step.is_signed else 0) > _INT32:
        raise UserError(f"layer {step.layer}: the offset of its input brings more to its sums than int32 holds")
    found, classes = np.unique(constants, axis=0, return_inverse=True)
    return found, None if len(found) == 1 else classes.reshape(-1).astype(np.int64)


def _within(outputs: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Int64:
    """Along one direction, 1 where a tap of an output lies on the image: ``[output, tap]``."""
    places = stride * np.arange(outputs)[:, None] + dilation * np.arange(kernel) - padding
    return ((places >= 0) & (places < size)).astype(np.int64)
