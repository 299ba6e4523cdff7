"""A quantised convolution as one operation of autograd: codes of input and weight, their sums, both scales.

One node in place of five, and the scale of the sums costs nothing on the way back: it goes into the gradients of the
quantisers, which are multiplied by a number in any case. Where codes come from elsewhere, sums and scale are one.
"""

from typing import Any

import torch
from torch import Tensor

from apot_lit.quant.cpu.convolution import Product
from apot_lit.quant.cpu.native import Quantized, Settings, gradients, quantize
from apot_lit.quant.sums import sum_codes


class NativeConvolution(torch.autograd.Function):
    """``convolution(codes of x, codes of weight) * step of x * step of weight``; a step is ``alpha / unit``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        raw_alpha_x: Tensor,
        table_x: Tensor | None,
        settings_x: Settings,
        weight: Tensor,
        raw_alpha_weight: Tensor,
        table_weight: Tensor | None,
        settings_weight: Settings,
        product: Product,
        whole: bool,
    ) -> Tensor:
        """Returns the convolution; `whole` as in `sum_codes`."""
        made_x = quantize(x, table_x, settings_x)
        made_weight = quantize(weight, table_weight, settings_weight)
        ctx.save_for_backward(*made_x[:2], *made_weight[:2])
        ctx.rest = made_x[2:], made_weight[2:]
        ctx.product = product
        ctx.scale = step(settings_x) * step(settings_weight)
        return sum_codes(product.forward, made_x.codes, made_weight.codes, whole).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of x, weight and both raw thresholds."""
        x, codes_x, weight, codes_weight = ctx.saved_tensors
        of_x, of_alpha_x, of_weight, of_alpha_weight = (ctx.needs_input_grad[place] for place in (0, 1, 4, 5))
        made_x = Quantized(x, codes_x, *ctx.rest[0])
        made_weight = Quantized(weight, codes_weight, *ctx.rest[1])
        of_codes_x, of_codes_weight = ctx.product.backward(grad, codes_x, codes_weight, of_x or of_alpha_x)
        found_x: tuple[Tensor | None, Tensor | None] = (None, None)
        if of_codes_x is not None:
            found_x = gradients(of_codes_x, made_x, of_x, of_alpha_x, ctx.scale)
        found_weight = gradients(of_codes_weight, made_weight, of_weight, of_alpha_weight, ctx.scale)
        return *found_x, None, None, *found_weight, None, None, None, None


class ScaledConvolution(torch.autograd.Function):
    """``convolution(codes of x, codes of weight) * scale``; on the way back weights are scaled, smaller than maps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: float, product: Product, whole: bool) -> Tensor:
        """Returns the convolution; `whole` as in `sum_codes`."""
        ctx.save_for_backward(x, weight)
        ctx.scale, ctx.product = scale, product
        return sum_codes(product.forward, x, weight, whole).mul_(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of x and weight."""
        x, weight = ctx.saved_tensors
        of_x, of_weight = ctx.product.backward(grad, x, weight, ctx.needs_input_grad[0])
        return None if of_x is None else of_x.mul_(ctx.scale), of_weight.mul_(ctx.scale), None, None, None


def step(settings: Settings) -> float:
    """The value of one code."""
    return settings.alpha / settings.unit
