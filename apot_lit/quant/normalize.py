"""Weight normalisation."""

from typing import Any

import torch
from torch import Tensor

from apot_lit.quant.alpha import scalar


class _NormalizeWeight(torch.autograd.Function):
    """(W - mean) / std with the gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        count = weight.numel()
        ctx.degrees = max(1, count - 1)
        # Sums in float64: whatever the number of threads that share them, the rounded result is the same.
        mean = scalar(weight.sum(dtype=torch.float64)) / count
        norm = scalar(torch.linalg.vector_norm(weight, dtype=torch.float64))
        variance = (norm * norm - count * mean * mean) / ctx.degrees
        ctx.std = max(variance, 1e-24) ** 0.5 if isinstance(variance, float) else variance.clamp(min=1e-24).sqrt()
        normalized = (weight - mean).mul_(1 / ctx.std)
        ctx.save_for_backward(normalized)
        return normalized

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (normalized,) = ctx.saved_tensors
        # d/dW = (g - mean(g) - W' * sum(g W') / (n - 1)) / std with W' the normalised weights, whose mean is 0.
        along = scalar((grad * normalized).sum()) / ctx.degrees
        mean = scalar(grad.mean())
        return (grad - mean).sub_(normalized * along).mul_(1 / ctx.std)


def normalize_weight(weight: Tensor) -> Tensor:
    """Weight normalisation ``(W - mean(W)) / std(W)`` over the whole tensor, unbiased standard deviation.

    Source: Li, Dong, Wang, ICLR 2020, section 2.4; gradients flow through mean and deviation.

    Args:
        weight: any shape; one that is constant is mapped to zeros.

    Returns:
        A tensor of the same shape and type.
    """
    normalized: Tensor = _NormalizeWeight.apply(weight)
    return normalized
