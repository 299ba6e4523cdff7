"""Quantised convolution and linear layer: one operation over integer codes, one multiplication afterwards."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apot_lit.quant.alpha import Scalar
from apot_lit.quant.cpu.convolution import Product, convolve, product_of
from apot_lit.quant.cpu.fused import NativeConvolution, ScaledConvolution
from apot_lit.quant.quantizers import ActivationQuantizer, Codes, WeightQuantizer
from apot_lit.quant.sums import EXACT_INTEGERS, sum_codes

Convolution = TypeVar("Convolution", bound=nn.Conv1d | nn.Conv2d)

Layer = TypeVar("Layer", bound=nn.Conv1d | nn.Conv2d | nn.Linear)


def _scale(inputs: Codes, weights: Codes) -> Scalar | None:
    """The product of both scales, None for 1."""
    if inputs.scale is None or weights.scale is None:
        return weights.scale if inputs.scale is None else inputs.scale
    return inputs.scale * weights.scale


def sums_are_exact(layer: "QuantLayer") -> bool:
    """Whether float32 holds every sum that codes of a layer's bit widths can add up to.

    That is ``fan_in * max code_a * max code_w <= 2^24``. A layer with a float input has no such sums.
    """
    inputs, weights = _largest_codes(layer)
    return inputs is not None and weights is not None and inputs * weights * layer.weight[0].numel() <= EXACT_INTEGERS


def _largest_codes(layer: "QuantLayer") -> tuple[float | None, float | None]:
    """Of input and weights; None where they are no whole numbers."""
    inputs, weights = (getattr(q, "largest_code", None) for q in (layer.act_quantizer, layer.weight_quantizer))
    return inputs, weights


def _is_whole(layer: "QuantLayer") -> bool:
    """Whether codes, and so their sums, are whole numbers."""
    return None not in _largest_codes(layer)


def _scaled_sums(
    layer: "QuantLayer", multiply: Callable[[Tensor, Tensor], Tensor], inputs: Codes, weights: Codes
) -> Tensor:
    """Sums over codes times both scales."""
    sums = sum_codes(multiply, inputs.values, weights.values, _is_whole(layer))
    scale = _scale(inputs, weights)
    if isinstance(scale, Tensor) and scale.dim():  # one for each output channel, shaped as weights are
        scale = scale.flatten().view(-1, *[1] * (layer.weight.dim() - 2))
    return sums if scale is None else sums.mul_(scale)


def _same_geometry(kind: type[Convolution], layer: nn.Conv1d | nn.Conv2d) -> Convolution:
    """A convolution of another class with the options of `layer`, and with no memory for its parameters."""
    return kind(
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


def _wrapped(quantized: Layer, layer: nn.Module, weight_quantizer: nn.Module, act_quantizer: nn.Module) -> Layer:
    """A quantised layer with the parameters of a float one, and its quantisers."""
    made = _unwrapped(quantized, layer)
    made.weight_quantizer = weight_quantizer.to(made.weight.device)
    made.act_quantizer = act_quantizer.to(made.weight.device)
    made.train(layer.training)
    return made


def _unwrapped(layer: Layer, source: Any) -> Layer:
    """A layer with the parameters and the mode of another."""
    layer.weight, layer.bias = source.weight, source.bias
    layer.train(source.training)
    return layer


class QuantConv2d(nn.Conv2d):
    """Convolution whose weight and input are quantised: ``conv(codes_a, codes_w) * scale_a * scale_w + bias``.

    Codes are integers, so the float32 accumulation is exact, in any order, while
    ``fan_in * max code_a * max code_w <= 2^24``, as `sums_are_exact` tells: with APoT of 5 bits up to a fan-in of 3495,
    of 6 bits up to 374, of 8 bits up to 4. Beyond, sums are rounded where they get so large.

    Attributes:
        weight_quantizer: module from weight to `Codes`.
        act_quantizer: module from input to `Codes`.
    """

    weight_quantizer: nn.Module
    act_quantizer: nn.Module

    @classmethod
    def from_float(cls, layer: nn.Conv2d, weight_quantizer: nn.Module, act_quantizer: nn.Module) -> Self:
        """Wraps the parameters of a float layer; they are shared, not copied."""
        return _wrapped(_same_geometry(cls, layer), layer, weight_quantizer, act_quantizer)

    def to_float(self) -> nn.Conv2d:
        """Returns the float layer with the same (latent, unquantised) parameters; they are shared, not copied."""
        return _unwrapped(_same_geometry(nn.Conv2d, self), self)

    def forward(self, x: Tensor) -> Tensor:
        """Quantises input and weight and convolves; shapes as `torch.nn.Conv2d`."""
        y = self._from_tensor(x)
        if y is None:
            y = self._from_codes(self.act_quantizer(x), self.weight_quantizer(self.weight))
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)

    def _from_tensor(self, x: Tensor | Codes) -> Tensor | None:
        """The result without bias in one step, quantisers included; None where that can't be."""
        act, weight = self.act_quantizer, self.weight_quantizer
        if type(act) is not ActivationQuantizer or type(weight) is not WeightQuantizer or not isinstance(x, Tensor):
            return None
        of_x, of_weight = act.native_settings(x), weight.native_settings(self.weight)
        if of_x is None or of_weight is None or (product := self._product(x)) is None:
            return None
        inputs = (x, act.raw_alpha, act.table, of_x)
        weights = (self.weight, weight.raw_alpha, weight.table, of_weight)
        result: Tensor = NativeConvolution.apply(*inputs, *weights, product, _is_whole(self))
        return result

    def _from_codes(self, inputs: Codes, weights: Codes) -> Tensor:
        """The result without bias."""
        scale = _scale(inputs, weights)
        if isinstance(scale, float) and (product := self._product(inputs.values)) is not None:
            y: Tensor = ScaledConvolution.apply(inputs.values, weights.values, scale, product, _is_whole(self))
            return y
        return _scaled_sums(self, partial(convolve, self), inputs, weights)

    def _product(self, x: Tensor) -> Product | None:
        """How to convolve `x` where gradients are ours to compute: on the CPU, in float32, in eager mode."""
        eager = not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")
        return product_of(self, x) if eager and x.dtype is torch.float32 else None


class QuantConv1d(nn.Conv1d):
    """Convolution of one dimension whose weight and input are quantised, as those of `QuantConv2d`.

    Attributes:
        weight_quantizer: module from weight to `Codes`.
        act_quantizer: module from input to `Codes`.
    """

    weight_quantizer: nn.Module
    act_quantizer: nn.Module

    @classmethod
    def from_float(cls, layer: nn.Conv1d, weight_quantizer: nn.Module, act_quantizer: nn.Module) -> Self:
        """Wraps the parameters of a float layer; they are shared, not copied."""
        return _wrapped(_same_geometry(cls, layer), layer, weight_quantizer, act_quantizer)

    def to_float(self) -> nn.Conv1d:
        """Returns the float layer with the same (latent, unquantised) parameters; they are shared, not copied."""
        return _unwrapped(_same_geometry(nn.Conv1d, self), self)

    def forward(self, x: Tensor) -> Tensor:
        """Quantises input and weight and convolves; shapes as `torch.nn.Conv1d`."""
        inputs: Codes = self.act_quantizer(x)
        weights: Codes = self.weight_quantizer(self.weight)
        y = _scaled_sums(self, lambda codes, weight: self._conv_forward(codes, weight, None), inputs, weights)
        return y if self.bias is None else y + self.bias.view(-1, 1)


class QuantLinear(nn.Linear):
    """Linear layer whose weight and input are quantised: ``linear(codes_a, codes_w) * scale_a * scale_w + bias``.

    Its sums are exact where those of `QuantConv2d` are.

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
        return _wrapped(quantized, layer, weight_quantizer, act_quantizer)

    def to_float(self) -> nn.Linear:
        """Returns the float layer with the same (latent, unquantised) parameters; they are shared, not copied."""
        return _unwrapped(nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta"), self)

    def forward(self, x: Tensor) -> Tensor:
        """Quantises input and weight and multiplies; shapes as `torch.nn.Linear`."""
        inputs: Codes = self.act_quantizer(x)
        weights: Codes = self.weight_quantizer(self.weight)
        y = _scaled_sums(self, F.linear, inputs, weights)
        return y if self.bias is None else y + self.bias


QuantLayer = QuantConv1d | QuantConv2d | QuantLinear
