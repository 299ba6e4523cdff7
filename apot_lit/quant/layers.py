"""Quantised convolution and linear layer: one operation over integer codes, one multiplication afterwards."""

from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from apot_lit.quant.alpha import Scalar
from apot_lit.quant.convolution import convolve
from apot_lit.quant.quantizers import Codes


def _rescale(accumulator: Tensor, inputs: Codes, weights: Codes, bias: Tensor | None) -> Tensor:
    """Accumulators over codes times both scales, plus the bias (already shaped to broadcast)."""
    scale: Scalar | None = None
    for codes in (inputs, weights):
        scale = codes.scale if scale is None else scale if codes.scale is None else scale * codes.scale
    if scale is not None:
        accumulator = accumulator.mul_(scale)
    return accumulator if bias is None else accumulator + bias


class QuantConv2d(nn.Conv2d):
    """Convolution whose weight and input are quantised: ``conv(codes_a, codes_w) * scale_a * scale_w + bias``.

    Codes are integers, so the float32 accumulation is exact, in any order, while
    ``fan_in * max code_a * max code_w < 2^24``.

    Attributes:
        weight_quantizer: module from weight to `Codes`.
        act_quantizer: module from input to `Codes`.
    """

    weight_quantizer: nn.Module
    act_quantizer: nn.Module

    @classmethod
    def from_float(cls, layer: nn.Conv2d, weight_quantizer: nn.Module, act_quantizer: nn.Module) -> Self:
        """Wraps the parameters of a float layer; they are shared, not copied."""
        quantized = cls(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
            layer.bias is not None,
            layer.padding_mode,
            device="meta",
        )
        quantized.weight, quantized.bias = layer.weight, layer.bias
        quantized.weight_quantizer = weight_quantizer.to(layer.weight.device)
        quantized.act_quantizer = act_quantizer.to(layer.weight.device)
        return quantized.train(layer.training)

    def to_float(self) -> nn.Conv2d:
        """Returns the float layer with the same (latent, unquantised) parameters; they are shared, not copied."""
        layer = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.dilation,  # type: ignore[arg-type]
            self.groups,
            self.bias is not None,
            self.padding_mode,
            device="meta",
        )
        layer.weight, layer.bias = self.weight, self.bias
        return layer.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Quantises input and weight and convolves; shapes as `torch.nn.Conv2d`."""
        inputs: Codes = self.act_quantizer(x)
        weights: Codes = self.weight_quantizer(self.weight)
        accumulator = convolve(self, inputs.values, weights.values)
        return _rescale(accumulator, inputs, weights, None if self.bias is None else self.bias.view(-1, 1, 1))


class QuantLinear(nn.Linear):
    """Linear layer whose weight and input are quantised: ``linear(codes_a, codes_w) * scale_a * scale_w + bias``.

    Attributes:
        weight_quantizer: module from weight to `Codes`.
        act_quantizer: module from input to `Codes`.
    """

    weight_quantizer: nn.Module
    act_quantizer: nn.Module

    @classmethod
    def from_float(cls, layer: nn.Linear, weight_quantizer: nn.Module, act_quantizer: nn.Module) -> Self:
        """Wraps the parameters of a float layer; they are shared, not copied."""
        quantized = cls(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        quantized.weight, quantized.bias = layer.weight, layer.bias
        quantized.weight_quantizer = weight_quantizer.to(layer.weight.device)
        quantized.act_quantizer = act_quantizer.to(layer.weight.device)
        return quantized.train(layer.training)

    def to_float(self) -> nn.Linear:
        """Returns the float layer with the same (latent, unquantised) parameters; they are shared, not copied."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        layer.weight, layer.bias = self.weight, self.bias
        return layer.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Quantises input and weight and multiplies; shapes as `torch.nn.Linear`."""
        inputs: Codes = self.act_quantizer(x)
        weights: Codes = self.weight_quantizer(self.weight)
        return _rescale(F.linear(inputs.values, weights.values), inputs, weights, self.bias)


QuantLayer = QuantConv2d | QuantLinear
