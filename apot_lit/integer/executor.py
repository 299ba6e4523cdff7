"""What a network of integers computes, in torch: the reference that every export format is held to."""

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from apot_lit.errors import UserError
from apot_lit.graph.steps import INPUT, Add, Concatenate, Flatten, MaxPool, Relu, Repeat, Step
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Clip,
    Head,
    IntegerNetwork,
    Rescale,
    SumPositions,
    SumWindows,
    Threshold,
)
from apot_lit.quant.sums import EXACT_INTEGERS, exact_sums

Watch = Callable[[Step, Tensor], None]
"""Told of every step and its value; of `Rescale` and `Add` before saturation."""


class Executor:
    """Computes the values of a network of integers.

    Convolutions run on floats that hold every sum exactly: float32 up to 2^24, float64 beyond. All else runs on int64.

    Args:
        network: what to compute.
        device: where.
        watch: see `Watch`.

    Shape:
        uint8 pixels ``[N, C, H, W]`` on any device to int64 logits ``[N, classes]`` on `device`.
    """

    def __init__(self, network: IntegerNetwork, device: torch.device | str = "cpu", watch: Watch | None = None) -> None:
        self.network = network
        self.device = torch.device(device)
        self.watch = watch
        self.constants = {step.output: self._constants(step) for step in network.steps}
        self.last_use = {name: step.output for step in network.steps for name in step.inputs}

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Returns the logits, of which 1 stands for `IntegerNetwork.logit_scale`.

        Raises:
            UserError: for anything but raw pixels of the network's size.
        """
        expected = self.network.input_shape
        if pixels.dtype is not torch.uint8 or tuple(pixels.shape[1:]) != expected:
            sizes = ", ".join(map(str, expected))
            raise UserError(f"the network: takes uint8 pixels [N, {sizes}], not {pixels.dtype} {list(pixels.shape)}")
        values = {INPUT: pixels.to(self.device)}
        with torch.autocast(self.device.type, enabled=False):
            for step in self.network.steps:
                values[step.output] = self._compute(step, *(values[name] for name in step.inputs))
                for name in step.inputs:
                    if self.last_use[name] == step.output:
                        values.pop(name, None)
        return values[self.network.steps[-1].output]

    def codes(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits, and by name of the layer the codes that it reads, uint8 or int8 ``[N, C, H, W]``."""
        found: dict[str, Tensor] = {}

        def watch(step: Step, value: Tensor) -> None:
            if isinstance(step, Threshold | ChannelThreshold):
                found[step.layer] = value.to(torch.int8 if step.codes[0] < 0 else torch.uint8)

        watching = copy(self)
        watching.watch = watch
        return watching(pixels), found

    def _constants(self, step: Step) -> dict[str, Tensor]:
        """The arrays of a step as tensors, of a shape that fits its input."""
        if isinstance(step, Accumulate):
            kind = torch.float32 if _reach(step) <= EXACT_INTEGERS else torch.float64
            return {"weight": self._tensor(step.weight).to(kind)}
        if isinstance(step, Rescale):
            arrays = {"multiplier": step.multiplier, "bias": step.bias, "shift": step.shift}
            return {name: self._tensor(array).long().view(-1, 1, 1) for name, array in arrays.items()}
        if isinstance(step, Threshold | ChannelThreshold):
            constants = {"thresholds": self._tensor(step.thresholds).long(), "codes": torch.tensor(step.codes)}
            if isinstance(step, ChannelThreshold):
                constants["sign"] = self._tensor(step.sign).long().view(-1, 1, 1)
            return {name: tensor.to(self.device) for name, tensor in constants.items()}
        if isinstance(step, Head):
            return {"weight": self._tensor(step.weight).double(), "bias": self._tensor(step.bias)}
        return {}

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _compute(self, step: Step, *inputs: Tensor) -> Tensor:
        constants, (x, *_) = self.constants[step.output], inputs
        if isinstance(step, Accumulate):
            weight = constants["weight"]
            integers = x.to(weight.dtype)
            if (step.multiplier, step.offset) != (1, 0):
                integers = integers * step.multiplier - step.offset
            with exact_sums(self.device.type):
                y = F.conv2d(integers, weight, None, step.stride, step.padding, step.dilation, step.groups)
            y = y.long()
        elif isinstance(step, Rescale):
            y = (x * constants["multiplier"] + constants["bias"]) >> constants["shift"]
        elif isinstance(step, Add):
            y = inputs[0] + inputs[1]
        elif isinstance(step, Threshold):
            y = constants["codes"][torch.bucketize(x.contiguous(), constants["thresholds"], right=True)]
        elif isinstance(step, ChannelThreshold):
            # searchsorted takes a row of thresholds for each channel, so channels come first.
            rows = (x * constants["sign"]).transpose(0, 1)
            found = torch.searchsorted(constants["thresholds"], rows.flatten(1).contiguous(), right=True)
            y = constants["codes"][found.view(rows.shape).transpose(0, 1)]
        elif isinstance(step, Relu):
            y = x.clamp(min=0)
        elif isinstance(step, Clip):
            y = x.clamp(step.lowest, step.highest)
        elif isinstance(step, Concatenate):
            y = torch.cat(inputs, 1)
        elif isinstance(step, Repeat):
            y = x.expand(-1, -1, *step.size)
        elif isinstance(step, SumWindows):
            # A convolution of each channel with ones: float64 holds every sum.
            ones = torch.ones(x.shape[1], 1, *step.kernel, dtype=torch.float64, device=self.device)
            y = F.conv2d(x.double(), ones, None, step.stride, step.padding, groups=x.shape[1]).long()
        elif isinstance(step, MaxPool):
            # Every window holds a value, so padding by the smallest one never wins.
            padding = [step.padding[1], step.padding[1], step.padding[0], step.padding[0]]
            padded = F.pad(x.double(), padding, value=-float(self.network.largest) - 1)
            y = F.max_pool2d(padded, step.kernel, step.stride).long()
        elif isinstance(step, SumPositions):
            y = x.sum((2, 3), keepdim=True)
        elif isinstance(step, Flatten):
            y = x.flatten(1)[:, :, None, None]
        else:
            assert isinstance(step, Head)
            y = (x.flatten(1).double() @ constants["weight"].T).long() + constants["bias"]
        if self.watch is not None:
            self.watch(step, y)
        if isinstance(step, Rescale | Add):
            y = y.clamp(-self.network.largest - 1, self.network.largest)
        return y


def _reach(step: Accumulate) -> int:
    """A bound on the magnitude of any sum, partial ones included."""
    largest = max(-step.ends[0], step.ends[1])
    return largest * int(abs(step.weight.reshape(len(step.weight), -1).astype(int)).sum(1).max(initial=0))
