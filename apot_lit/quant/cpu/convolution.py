"""Convolutions, as matrix products where that is all they are: there general kernels are slow on the CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Window = tuple[slice, slice]


def convolve(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> Tensor:
    """The convolution of `layer` without its bias, of `x` with `weight` in place of its own.

    On the CPU two cases are matrix products:

    - a map of one output pixel: what the kernel sees of the input, times the part of the kernel that sees it. The last
      stage of a ResNet on 28x28 images has no other maps;
    - a kernel of one pixel on an input in channels-last format: the pixels that the stride leaves, times the kernel.

    Args:
        layer: stride, padding, dilation and groups.
        x: ``[N, C_in, H, W]``.
        weight: ``[C_out, C_in / groups, kernel height, kernel width]``.

    Returns:
        ``[N, C_out, H_out, W_out]``, the sums of `torch.nn.Conv2d`, perhaps in another order.
    """
    simple = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    if x.device.type == "cpu" and x.dim() == 4 and simple and not isinstance(layer.padding, str):
        windows = [_only_window(layer, x, axis) for axis in (0, 1)]
        if windows[0] is not None and windows[1] is not None:
            return _one_pixel(x, weight, windows[0], windows[1])
        dense = x.is_contiguous(memory_format=torch.channels_last)
        if layer.kernel_size == (1, 1) and layer.padding == (0, 0) and dense:
            down, right = layer.stride
            return F.linear(_channels_last(x[:, :, ::down, ::right]), weight.flatten(1)).permute(0, 3, 1, 2)
    return layer._conv_forward(x, weight, None)


def _only_window(layer: nn.Conv2d, x: Tensor, axis: int) -> Window | None:
    """What the kernel sees of the input along height (0) or width (1), and its part that sees; None if it moves."""
    size, kernel, padding = x.shape[2 + axis], layer.kernel_size[axis], int(layer.padding[axis])
    if not 0 <= size + 2 * padding - kernel < layer.stride[axis]:
        return None
    return slice(0, max(0, kernel - padding)), slice(padding, padding + size)


def _one_pixel(x: Tensor, weight: Tensor, rows: Window, columns: Window) -> Tensor:
    seen = _channels_last(x[:, :, rows[0], columns[0]]).flatten(1)
    kernel = _channels_last(weight[:, :, rows[1], columns[1]]).flatten(1)
    return F.linear(seen, kernel)[:, :, None, None]


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
