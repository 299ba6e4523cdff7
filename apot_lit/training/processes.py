"""What the processes of distributed training tell each other."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, distributed


@torch.no_grad()
def share_from_first(tensors: Iterable[Tensor]) -> None:
    """Gives tensors the values that they have in the first process; nothing where there is but one.

    Args:
        tensors: dense ones, in every process the same in number, order, shape and type.
    """
    if distributed.is_available() and distributed.is_initialized():
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def sum_over_all(tensor: Tensor) -> Tensor:
    """Returns the elementwise sum of the tensors of all processes; gradients of it flow back into all of them.

    Args:
        tensor: a dense one, in every process of the same shape and type.
    """
    return cast(Tensor, _Sum.apply(tensor))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total
