"""The stream of the network of integers in training: its rounding and saturation, with gradients that pass through."""

import math
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from apot_lit.graph.steps import (
    AdaptiveAveragePool,
    Add,
    Affine,
    AveragePool,
    Clamp,
    Convolution,
    GlobalAveragePool,
    Linear,
    Step,
)
from apot_lit.graph.trace import build_steps
from apot_lit.graph.tracer import trace
from apot_lit.integer.fixed_point import MAX_MULTIPLIER, MAX_SHIFT
from apot_lit.integer.pooling import is_read_by_head
from apot_lit.models.input import PixelInput
from apot_lit.quant.layers import QuantLayer
from apot_lit.quant.quantizers import ActivationQuantizer

_MEANS = (AveragePool, AdaptiveAveragePool, GlobalAveragePool)


class Simulation(fx.Interpreter):
    """Computes a network in floats, its batch norms and residual sums with the values that a stream of integers has.

    Batch norms have multipliers of 16 bits, ``y = floor(2^f (x F' + offset) + 1/2) / 2^f`` with F' what
    `apot_lit.integer.fixed_point.rescaling` makes of the factor, saturated to `stream_bit` bits; sums are saturated.
    What follows on the stream, ReLU and pooling, is exact in floats as it is. Gradients are those without rounding, and
    zero where a value is saturated.

    In evaluation mode values are those of `Executor`, but for a value in 10^5 that float32 puts on the other side of a
    rounding. In training mode batch norms have the statistics of the batch; how much their multipliers are rounded by
    is that of the running statistics, which the integers will have.

    The network's modules are used, not copied: parameters, statistics, hooks and the keys of checkpoints are its own.

    Args:
        network: one that `to_integers` takes.
        stream_bit: bits of the stream.
        fraction: how many of them are fractional bits.

    Attributes:
        layers: by name of what is put onto the stream, the convolution whose sums it is computed from; None for a batch
            norm of values that are on the stream already.
        sums: names of the residual sums.
        means: means that are put onto the stream, by name.
        clamps: what clips, by name.

    Raises:
        UserError: as `build_steps`.
    """

    def __init__(self, network: nn.Module, stream_bit: int, fraction: int) -> None:
        super().__init__(network, graph=trace(network))
        self.extra_traceback = False  # errors are told in one line
        self.step = 2.0**-fraction
        self.largest = 2 ** (stream_bit - 1) - 1
        self.pixels = next(module for module in network.modules() if isinstance(module, PixelInput))
        steps = build_steps(network)
        self.sums = {step.output for step in steps if isinstance(step, Add)}
        self.means = {
            step.output: step for step in steps if isinstance(step, _MEANS) and not is_read_by_head(step, steps)
        }
        self.clamps = {step.output: step for step in steps if isinstance(step, Clamp)}
        self.layers: dict[str, str | None] = {}
        for step in steps:
            if isinstance(step, Convolution) or (isinstance(step, Linear) and step is not steps[-1]):
                readers = [reader for reader in steps if step.output in reader.inputs]
                read_by_norm = len(readers) == 1 and isinstance(readers[0], Affine)
                self.layers[readers[0].output if read_by_norm else step.output] = step.layer
            elif isinstance(step, Affine):
                self.layers.setdefault(step.output, None)

    def __call__(self, images: Tensor) -> Tensor:
        """Returns the logits."""
        return cast(Tensor, self.run(images))

    def run_node(self, n: fx.Node) -> Any:
        """Computes one value, and puts it onto the stream where the integers do."""
        if n.name in self.clamps:
            return self._clamped(self.fetch_args_kwargs_from_env(n)[0][0], self.clamps[n.name])
        value = super().run_node(n)
        if n.name in self.means:
            return self._mean(value, self.fetch_args_kwargs_from_env(n)[0][0], self.means[n.name])
        if n.name in self.layers:
            factor, offset = _affine(self.fetch_attr(str(n.target)))
            scale, shift = self._rounding(factor, offset, self._unit(self.layers[n.name]))
            return _OntoStream.apply(value.float(), scale, shift, self.step, self.largest)
        if n.name in self.sums:
            return value.clamp(-(self.largest + 1) * self.step, self.largest * self.step)
        return value

    def _clamped(self, x: Tensor, step: Clamp) -> Tensor:
        """With bounds that are on the stream."""
        within = (-self.largest - 1) * self.step, self.largest * self.step
        given = (within[0] if step.lowest is None else step.lowest, within[1] if step.highest is None else step.highest)
        low, high = (math.floor(max(within[0], min(within[1], end)) / self.step + 0.5) * self.step for end in given)
        return x.clamp(low, high)

    def _mean(self, value: Tensor, source: Tensor, step: Step) -> Tensor:
        """A mean as the sum of a window times a multiplier of 16 bits; a position that is repeated stays as it is."""
        if isinstance(step, AveragePool):
            count = math.prod(step.kernel)
        else:
            count = max(1, source[0, 0].numel() // value[0, 0].numel())
        ratio = float(rounded_factor(torch.tensor(1 / count, dtype=torch.float64))) * count
        scale = value.new_full((value.shape[1],), ratio / self.step)
        shift = torch.full_like(scale, 0.5)
        return cast(Tensor, _OntoStream.apply(value, scale, shift, self.step, self.largest))

    @torch.no_grad()
    def _rounding(self, factor: Tensor, offset: Tensor, unit: Tensor | float) -> tuple[Tensor, Tensor]:
        """What turns a channel's exact value y into steps of the stream, rounding left out: ``scale * y + shift``.

        With F' = r F that is ``x F' + offset = r y + (1 - r) offset``; half a step is within the shift.
        """
        exact = factor.double() * unit / self.step
        ratio = torch.where(exact == 0, 1.0, rounded_factor(exact) / exact)
        shift = (1 - ratio) * offset / self.step + 0.5
        return (ratio / self.step).float(), shift.float()

    @torch.no_grad()
    def _unit(self, layer: str | None) -> Tensor | float:
        """What 1 in the integers that a batch norm reads stands for."""
        if layer is None:
            return self.step
        module = self.fetch_attr(layer)
        assert isinstance(module, QuantLayer)
        act = module.act_quantizer
        of_input = act.alpha.double() / act.unit if isinstance(act, ActivationQuantizer) else self.pixels.step or 1.0
        of_weight = torch.as_tensor(module.weight_quantizer(module.weight).scale, dtype=torch.float64)
        return of_input * (of_weight.flatten() if of_weight.dim() else of_weight)


def rounded_factor(factor: Tensor) -> Tensor:
    """``M / 2^S`` of the multiplier and shift that `rescaling` gives to factors, float64 to float64."""
    within = factor.clamp(-MAX_MULTIPLIER, MAX_MULTIPLIER)
    _, exponent = torch.frexp(within)
    # M of 16 bits with its sign; one that is rounded up to 2^15 stands for 2^14 and a shift less by 1.
    shift = (MAX_MULTIPLIER.bit_length() - exponent).clamp(0, MAX_SHIFT)
    return torch.ldexp(torch.ldexp(within, shift).round(), -shift)


def _affine(module: Any) -> tuple[Tensor, Tensor]:
    """Factor and offset of a batch norm with its running statistics, or of a layer without one."""
    if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nothing = module.weight.new_zeros(len(module.weight))
        return nothing + 1, nothing if module.bias is None else module.bias
    assert module.running_mean is not None
    assert module.running_var is not None
    # By way of float64 the root is rounded as in a conversion; torch's own may be the next number.
    factor = 1 / (module.running_var + module.eps).double().sqrt().float()
    if module.weight is not None:
        factor = factor * module.weight
    offset = -module.running_mean * factor
    return factor, offset if module.bias is None else offset + module.bias


class _OntoStream(torch.autograd.Function):
    """``clamp(floor(scale * y + shift)) * step``; the gradient is passed on where nothing was saturated."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, scale: Tensor, shift: Tensor, step: float, largest: int) -> Tensor:
        each = (-1, *[1] * (y.dim() - 2))
        steps = torch.addcmul(shift.view(each), y, scale.view(each)).floor_()
        value = steps.clamp(-largest - 1, largest)
        ctx.save_for_backward(value == steps)
        return value.mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (within,) = ctx.saved_tensors
        return gradient * within, None, None, None, None
