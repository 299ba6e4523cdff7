"""Convolutions, as matrix products where that is all they are: there general kernels are slow on the CPU."""

from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Axis = tuple[slice, slice]
"""What a kernel sees of the input along one axis, and its part that sees."""


class Product(Protocol):
    """A convolution without bias, and its gradients: ``forward`` may be differentiated by autograd as well."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Sums ``[N, C_out, H_out, W_out]`` of ``[N, C_in, H, W]`` with ``[C_out, C_in / groups, height, width]``."""

    def backward(self, grad: Tensor, x: Tensor, weight: Tensor, of_x: bool) -> tuple[Tensor | None, Tensor]:
        """Gradients of x (unless `of_x` is false) and weight."""


def convolve(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> Tensor:
    """The convolution of `layer` without its bias, of `x` with `weight` in place of its own.

    Args:
        layer: stride, padding, dilation and groups.
        x: ``[N, C_in, H, W]``.
        weight: ``[C_out, C_in / groups, kernel height, kernel width]``.

    Returns:
        ``[N, C_out, H_out, W_out]``, the sums of `torch.nn.Conv2d`, perhaps in another order.
    """
    product = product_of(layer, x)
    return layer._conv_forward(x, weight, None) if product is None else product.forward(x, weight)


def product_of(layer: nn.Conv2d, x: Tensor) -> Product | None:
    """The way to convolve `x` on the CPU; None elsewhere, and for paddings that only `torch.nn.Conv2d` knows.

    Two cases are matrix products:

    - a map of one output pixel: what the kernel sees of the input, times the part of the kernel that sees it. The last
      stage of a ResNet on 28x28 images has no other maps;
    - a kernel of one pixel on an input in channels-last format: the pixels that the stride leaves, times the kernel.
    """
    if x.device.type != "cpu" or x.dim() != 4 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    if layer.groups == 1 and layer.dilation == (1, 1):
        rows, columns = (_only_window(layer, x, axis) for axis in (0, 1))
        if rows is not None and columns is not None:
            return OnePixel(rows, columns)
        dense = x.is_contiguous(memory_format=torch.channels_last)
        if layer.kernel_size == (1, 1) and layer.padding == (0, 0) and dense:
            return Pixelwise(*layer.stride)
    return General(layer.stride, layer.padding, layer.dilation, layer.groups)


class General(NamedTuple):
    """What torch's own convolution is asked for."""

    stride: Any
    padding: Any
    dilation: Any
    groups: int

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Product`."""
        return F.conv2d(x, weight, None, self.stride, self.padding, self.dilation, self.groups)

    def backward(self, grad: Tensor, x: Tensor, weight: Tensor, of_x: bool) -> tuple[Tensor | None, Tensor]:
        """See `Product`."""
        options = (self.stride, self.padding, self.dilation, False, (0, 0), self.groups, (of_x, True, False))
        of_input, of_weight, _ = torch.ops.aten.convolution_backward(grad, x, weight, None, *options)
        return of_input, of_weight


class Pixelwise(NamedTuple):
    """A kernel of one pixel and its stride, on an input in channels-last format."""

    down: int
    right: int

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Product`."""
        return F.linear(_channels_last(self._seen(x)), weight.flatten(1)).permute(0, 3, 1, 2)

    def backward(self, grad: Tensor, x: Tensor, weight: Tensor, of_x: bool) -> tuple[Tensor | None, Tensor]:
        """See `Product`."""
        rows = _channels_last(grad).flatten(0, 2)
        of_weight = (rows.t() @ _channels_last(self._seen(x)).flatten(0, 2)).view(weight.shape)
        if not of_x:
            return None, of_weight
        of_seen = (rows @ weight.flatten(1)).unflatten(0, (len(grad), *grad.shape[2:])).permute(0, 3, 1, 2)
        if self.down == self.right == 1:
            return of_seen, of_weight
        of_input = torch.zeros_like(x)
        self._seen(of_input).copy_(of_seen)
        return of_input, of_weight

    def _seen(self, x: Tensor) -> Tensor:
        return x if self.down == self.right == 1 else x[:, :, :: self.down, :: self.right]


class OnePixel(NamedTuple):
    """A map of one output pixel."""

    rows: Axis
    columns: Axis

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Product`."""
        return F.linear(self._seen(x), self._kernel(weight).flatten(1))[:, :, None, None]

    def backward(self, grad: Tensor, x: Tensor, weight: Tensor, of_x: bool) -> tuple[Tensor | None, Tensor]:
        """See `Product`."""
        rows, kernel = grad.flatten(1), self._kernel(weight)
        of_weight = torch.zeros_like(weight)
        self._kernel(of_weight).copy_((rows.t() @ self._seen(x)).view(kernel.shape))
        if not of_x:
            return None, of_weight
        of_seen = (rows @ kernel.flatten(1)).unflatten(1, kernel.shape[1:]).permute(0, 3, 1, 2)
        if of_seen.shape == x.shape:
            return of_seen, of_weight
        of_input = torch.zeros_like(x)
        of_input[:, :, self.rows[0], self.columns[0]] = of_seen
        return of_input, of_weight

    def _seen(self, x: Tensor) -> Tensor:
        """A row for each image, with the channels of a pixel side by side."""
        return _channels_last(x[:, :, self.rows[0], self.columns[0]]).flatten(1)

    def _kernel(self, weight: Tensor) -> Tensor:
        """The part of the kernel that sees something, in the same order."""
        return _channels_last(weight[:, :, self.rows[1], self.columns[1]])


def _only_window(layer: nn.Conv2d, x: Tensor, axis: int) -> Axis | None:
    """What the kernel sees of the input along height (0) or width (1), and its part that sees; None if it moves."""
    size, kernel, padding = x.shape[2 + axis], layer.kernel_size[axis], int(layer.padding[axis])
    if not 0 <= size + 2 * padding - kernel < layer.stride[axis]:
        return None
    return slice(0, max(0, kernel - padding)), slice(padding, padding + size)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
