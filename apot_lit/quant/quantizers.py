"""Quantisers: modules that own a clipping threshold and turn tensors into codes and a scale."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from apot_lit.quant.alpha import Scalar, positive_alpha, scalar
from apot_lit.quant.cpu.native import Settings
from apot_lit.quant.functional import native_settings, quantize_codes, round_codes
from apot_lit.quant.levels import LevelSet
from apot_lit.quant.projection import half_grid_table, projection_unit
from apot_lit.quant.torchscript import NotScriptable

_SMALLEST = 1e-30


class Codes(NamedTuple):
    """Quantised values: ``values * scale`` is the fake-quantised tensor.

    Attributes:
        values: float32 tensor of integer codes (float values where nothing is quantised).
        scale: the value of one code, or None for 1.
    """

    values: Tensor
    scale: Scalar | None

    def fake_quantized(self) -> Tensor:
        """The values that the codes stand for."""
        return self.values if self.scale is None else self.values * self.scale


class FloatPassthrough(nn.Module):
    """Stands where a tensor stays in full precision."""

    def forward(self, x: Tensor) -> Codes:
        """Returns `x` itself as values with scale 1."""
        return Codes(x, None)


class _ClippingQuantizer(NotScriptable, nn.Module):
    """A quantiser with a learned clipping threshold.

    Attributes:
        signed: whether codes are from -unit to unit, rather than from 0.
        raw_alpha: the trained parameter; `alpha` is its value wherever it is at least ``ALPHA_MIN``.
    """

    normalize = False
    straight_through = False
    table: Tensor | None

    def __init__(self, levels: LevelSet, alpha: float, grad_scale: float | None = None, signed: bool = False) -> None:
        super().__init__()
        self.signed = signed
        self.levels = levels
        self.grad_scale = 1.0 if grad_scale is None else grad_scale
        self.unit = projection_unit(levels)
        self.raw_alpha = nn.Parameter(torch.tensor(float(alpha)))
        self.register_buffer("table", half_grid_table(levels, signed), persistent=False)

    def forward(self, x: Tensor) -> Codes:
        """Returns codes, from -unit (0 if unsigned) to unit, and their scale."""
        return Codes(
            *quantize_codes(
                x,
                self.raw_alpha,
                self.levels,
                signed=self.signed,
                table=self.table,
                normalize=self.normalize,
                straight_through=self.straight_through,
                grad_scale=self.grad_scale,
            )
        )

    def native_settings(self, x: Tensor) -> Settings | None:
        """What the compiled loops need to do the same; None where they can't, or somebody watches this module."""
        if self._forward_hooks or self._forward_pre_hooks:
            return None
        return native_settings(
            x,
            self.raw_alpha,
            self.levels,
            self.signed,
            self.table,
            self.normalize,
            self.straight_through,
            self.grad_scale,
        )

    @property
    def alpha(self) -> Tensor:
        """The clipping threshold: a positive tensor in the shape of `raw_alpha`, detached."""
        return torch.as_tensor(positive_alpha(self.raw_alpha), dtype=torch.float32)

    @property
    def bit(self) -> int:
        """Bit width, a sign included."""
        return self.levels.bits + int(self.signed)

    @property
    def largest_code(self) -> float | None:
        """Largest magnitude of a code; None where codes are the levels themselves, no whole numbers."""
        return self.unit if self.unit == self.levels.denominator else None

    @property
    def significant_bits(self) -> int:
        """Bits between the first and the last 1 of a code, of the code with most."""
        return max((code // (code & -code)).bit_length() for code in self.levels.codes if code)

    def extra_repr(self) -> str:
        """Bit width, scheme and (mean) threshold for ``repr(model)``."""
        alpha = "" if self.raw_alpha.is_meta else f", alpha={self.alpha.mean().item():.4g}"
        return f"bit={self.bit}, scheme={self.levels.scheme}{alpha}"


class ActivationQuantizer(_ClippingQuantizer):
    """Quantiser of activations, ``alpha * project(clip(x / alpha, 0, 1))``; from -1 if signed.

    Args:
        levels: level set with as many magnitude bits as the bit width, one less if signed.
        alpha: initial clipping threshold, in units of the activations.
        grad_scale: factor on alpha's gradient, None for none.
        signed: whether levels are mirrored, for activations that are negative in places.

    Shape:
        any shape in, codes of the same shape out.

    Examples:
        >>> from apot_lit.quant.levels import level_set
        >>> quantizer = ActivationQuantizer(level_set("apot", 2), alpha=4.0)
        >>> quantizer(torch.tensor([-1.0, 0.4, 0.5, 2.9, 9.0])).fake_quantized().tolist()
        [0.0, 0.0, 1.0, 2.0, 4.0]
        >>> ActivationQuantizer(level_set("apot", 2), alpha=4.0, signed=True)(torch.tensor([-9.0, 2.9])).values.tolist()
        [-4.0, 2.0]
    """

    def extra_repr(self) -> str:
        """Adds whether it is signed."""
        return super().extra_repr() + (", signed=True" if self.signed else "")


class WeightQuantizer(_ClippingQuantizer):
    """Signed quantiser of weights, ``alpha * project(clip(w / alpha, -1, 1))`` of normalised weights.

    Args:
        levels: level set of the magnitudes, one bit less than the bit width. With one magnitude bit (2-bit weights)
            gradients pass the clip everywhere (calibrated gradient).
        alpha: initial clipping threshold, in standard deviations of the weights if `normalize`.
        normalize: quantise ``(W - mean W) / std W`` instead of W.
        grad_scale: factor on alpha's gradient, None for none.

    Shape:
        any shape in, codes of the same shape out.
    """

    def __init__(self, levels: LevelSet, alpha: float, normalize: bool = True, grad_scale: float | None = None) -> None:
        super().__init__(levels, alpha, grad_scale, signed=True)
        self.normalize = normalize
        self.straight_through = levels.bits == 1

    def extra_repr(self) -> str:
        """Adds the absence of weight normalisation."""
        return super().extra_repr() + ("" if self.normalize else ", normalize=False")


class MaxWeightQuantizer(NotScriptable, nn.Module):
    """Uniform quantiser of the first and last layers' weights, ``round(m w / s) * s / m``, ``s = max |w|``.

    ``m = 2^(bit - 1) - 1`` (127 at 8 bits), so codes always fit a signed integer of `bit` bits. Nothing is learned;
    the gradient is straight through.

    Args:
        bit: bit width with sign, 2 to 8.
        magnitude: False for ``s = max w``, the reference implementation's rule; codes may then exceed m.
    """

    def __init__(self, bit: int, magnitude: bool = True) -> None:
        super().__init__()
        self.bit = bit
        self.magnitude = magnitude
        self.unit = 2 ** (bit - 1) - 1

    @property
    def largest_code(self) -> float:
        """Largest magnitude of a code."""
        return self.unit if self.magnitude else math.inf

    @property
    def significant_bits(self) -> float:
        """Bits of the largest code."""
        return self.bit - 1 if self.magnitude else math.inf

    def forward(self, weight: Tensor) -> Codes:
        """Returns integer codes and their scale ``s / m``."""
        magnitudes = weight.detach().float()
        largest = scalar(magnitudes.abs().max() if self.magnitude else magnitudes.max())  # ONNX has no amax of all
        # A layer of zeros has codes 0 at any scale; one so small that 1 / scale would overflow counts as zeros.
        scale: Scalar
        if isinstance(largest, float):
            scale = largest / self.unit if abs(largest) >= _SMALLEST else 1.0
        else:
            scale = torch.where(largest.abs() >= _SMALLEST, largest / self.unit, torch.ones_like(largest))
        return Codes(round_codes(weight, scale, limit=self.unit if self.magnitude else None), scale)

    def extra_repr(self) -> str:
        """Bit width and scheme for ``repr(model)``."""
        return f"bit={self.bit}, scheme=uniform, scale={'max|w|' if self.magnitude else 'max(w)'}"


class NetworkInput(nn.Module):
    """Base of what a network begins with: it turns what the network is given into integers of a known step.

    A float first layer reads ``integers * step``; for a quantised one `quantize_model` sets `gives_codes`, and it reads
    the integers themselves. The input must go to the first layer and to nothing else.

    Attributes:
        step: value of one integer, None where there are none and the first layer reads floats in any case.
        bit: bits of the integers, zero point not subtracted; 32 where there are none.
        gives_codes: whether `forward` returns `Codes` rather than a tensor.
    """

    step: float | None
    bit: int
    gives_codes = False


class InputCodes(nn.Module):
    """Stands before a first layer that reads the integers of a `NetworkInput`.

    Args:
        bit: bits of these integers.
    """

    def __init__(self, bit: int) -> None:
        super().__init__()
        self.bit = bit

    @property
    def largest_code(self) -> float:
        """A bound on the magnitude of an integer."""
        return 2**self.bit - 1

    @property
    def significant_bits(self) -> int:
        """Bits of the largest integer."""
        return self.bit

    def forward(self, codes: Codes) -> Codes:
        """Returns what it is given."""
        return codes

    def extra_repr(self) -> str:
        """Bits for ``repr(model)``."""
        return f"bit={self.bit}"
