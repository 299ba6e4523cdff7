"""Networks of integers with random steps: odd channels, strides, padding, groups, dilation, small and large maps."""

import itertools

import numpy as np
import torch

from apot_lit.graph.shapes import infer_shapes
from apot_lit.graph.steps import INPUT, Add, Concatenate, Flatten, MaxPool, Relu, Repeat, mirrored
from apot_lit.integer import Executor, IntegerNetwork
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Clip,
    Head,
    Rescale,
    SumPositions,
    SumWindows,
    Threshold,
)
from apot_lit.integer.widths import accumulator_range
from apot_lit.quant.levels import level_set


class Builder:
    """Adds steps one after the other; values of the stream spread over its whole range, so that some saturate.

    Args:
        seed: of everything random.
        shape: channels, height and width of the pixels.
        stream_bit: bits of the stream.
    """

    def __init__(self, seed, shape, stream_bit=16):
        self.random = np.random.default_rng(seed)
        self.shape, self.stream_bit = shape, stream_bit
        self.steps = []

    def add(self, kind, *inputs, **fields):
        name = f"{kind.__name__.lower()}_{len(self.steps)}"
        self.steps.append(kind(name, inputs, **fields))
        return name

    def shape_of(self, name):
        return infer_shapes(self.steps, self.shape)[name]

    def weight(self, shape, levels):
        if levels is None:
            return self.random.integers(-127, 128, shape).astype(np.int8)
        signs = self.random.choice([-1, 1], shape)
        return (signs * self.random.choice(levels.codes, shape)).astype(np.int8)

    def convolution(
        self,
        source,
        outputs,
        kernel,
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        groups=1,
        levels=None,
        pixels=(1, 0),
    ):
        read = next((step.codes for step in self.steps if step.output == source), (0, 255))
        name = f"layer{len(self.steps)}"
        return self.add(
            Accumulate,
            source,
            weight=self.weight((outputs, self.shape_of(source)[0] // groups, *kernel), levels),
            **{"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "levels": levels},
            **{"layer": name, "multiplier": pixels[0], "offset": pixels[1]},
            **{"largest": read[-1], "is_signed": read[0] < 0},
        )

    def spread(self, source):
        """A typical magnitude of a convolution's sums, or of the stream."""
        step = next(step for step in self.steps if step.output == source)
        if not isinstance(step, Accumulate):
            return 2 ** (self.stream_bit - 3)
        low, high = accumulator_range(step)
        return max(8, int(max(-low.min(), high.max()) // 6))

    def batch_norm(self, source):
        channels = self.shape_of(source)[0]
        # Such that products reach about twice what the stream holds, with multipliers of up to 16 bits.
        most = int(np.clip(np.log2(16000 * self.spread(source)) - self.stream_bit, 0, 40))
        shift = self.random.integers(most // 2, most + 1, channels).astype(np.int32)
        factor = 2.0 ** (self.stream_bit + shift) / self.spread(source)
        multiplier = np.clip(self.random.normal(0, factor), -32767, 32767).astype(np.int32)
        multiplier[0] = 0
        reach = 2.0 ** (self.stream_bit - 2 + shift)
        bias = self.random.normal(0, reach).astype(np.int64)
        return self.add(Rescale, source, multiplier=multiplier, bias=bias, shift=shift, layer=source)

    def mean(self, source, kernel, stride, padding=(0, 0)):
        """Means of windows, a little too large, so that some saturate."""
        sums = self.add(SumWindows, source, kernel=kernel, stride=stride, padding=padding)
        channels = self.shape_of(sums)[0]
        numbers = int(2**15 * 1.5 / np.prod(kernel)), int(self.random.integers(-(2**17), 2**17)), 15
        arrays = [np.full(channels, n, kind) for n, kind in zip(numbers, (np.int32, np.int64, np.int32), strict=True)]
        return self.add(
            Rescale, sums, multiplier=np.minimum(arrays[0], 32767), bias=arrays[1], shift=arrays[2], layer=sums
        )

    def codes(self, source, levels, layer, signed=False):
        reach, codes = 2 ** (self.stream_bit - 2), mirrored(levels) if signed else levels.codes
        lowest = -reach if signed else 1
        thresholds = np.sort(self.random.integers(lowest, reach, len(codes) - 1)).astype(np.int32)
        thresholds[-1] = self.random.choice([thresholds[-1], 2 ** (self.stream_bit - 1)])
        return self.add(Threshold, source, thresholds=thresholds, codes=codes, levels=levels, layer=layer)

    def channel_codes(self, source, levels, layer, signed=False):
        channels, spread = self.shape_of(source)[0], self.spread(source)
        codes = mirrored(levels) if signed else levels.codes
        return self.add(
            ChannelThreshold,
            source,
            thresholds=np.sort(self.random.integers(-spread, spread, (channels, len(codes) - 1)), 1),
            sign=self.random.choice([1, -1], channels).astype(np.int32),
            **{"codes": codes, "levels": levels, "layer": layer},
        )

    def head(self, source, classes=10):
        channels, height, width = self.shape_of(source)
        is_codes = isinstance(self.steps[-1], ChannelThreshold)
        name = source if is_codes else self.add(Flatten, source)
        weight = self.weight((classes, channels * height * width), None)
        self.add(Head, name, weight=weight, bias=self.random.integers(-1000, 1000, classes), layer="head")
        return IntegerNetwork(self.steps, self.shape, self.stream_bit, 4, 1.0)

    def images(self, count):
        return torch.from_numpy(self.random.integers(0, 256, (count, *self.shape)).astype(np.uint8))


def small(seed):
    """A network of two to four convolutions and a residual sum, with random geometry."""
    random = np.random.default_rng(seed)
    stream_bit = 16
    channels = int(random.choice([1, 1, 2, 3]))
    b = Builder(seed, (channels, int(random.integers(5, 15)), int(random.integers(5, 15))), stream_bit)
    pixels = [(1, 0), (1, 33), (200, 6681), (3, 401)][seed % 4]

    def geometry(source):
        _, height, width = b.shape_of(source)
        kernel = (int(random.integers(1, 4)), int(random.integers(1, 4)))
        dilation = tuple(int(n) for n in random.integers(1, 3, 2))
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        padding = [
            int(random.integers(max(0, -(-(r - n) // 2)), r + 1)) for r, n in zip(reach, (height, width), strict=True)
        ]
        stride = tuple(int(n) for n in random.integers(1, 4, 2))
        return {"kernel": kernel, "stride": stride, "padding": tuple(padding), "dilation": dilation}

    def levels():
        return level_set(
            *[("apot", 3), ("apot", 4), ("uniform", 3), ("apot", 2), ("uniform", 6), ("pot", 2)][
                int(random.integers(6))
            ]
        )

    groups = channels if seed % 3 == 0 else 1
    first = b.convolution(
        INPUT, int(random.choice([3, 5, 16, 18])) * groups, groups=groups, pixels=pixels, **geometry(INPUT)
    )
    x = b.batch_norm(first)
    if seed % 2:
        x = b.add(Relu, x)
    if seed % 3 == 1 and min(b.shape_of(x)[1:]) > 1:
        x = b.add(MaxPool, x, kernel=(3, 2), stride=(2, 1), padding=(1, 1))
    for _ in range(int(random.integers(1, 3))):
        codes = b.codes(x, levels(), "a")
        groups = next(
            int(n) for n in random.permutation([1, 2, 3, b.shape_of(codes)[0]]) if b.shape_of(codes)[0] % n == 0
        )
        outputs = groups * int(random.integers(1, 40 // groups + 2))
        sums = b.convolution(codes, outputs, groups=groups, levels=level_set("apot", 3), **geometry(codes))
        codes = b.channel_codes(sums, levels(), "b")
        left = b.batch_norm(b.convolution(codes, b.shape_of(x)[0], (1, 1), levels=level_set("apot", 2)))
        if b.shape_of(left) == b.shape_of(x):
            x = b.add(Add, left, x)
        else:
            right = b.batch_norm(b.convolution(codes, b.shape_of(x)[0], (3, 3), padding=(1, 1)))
            x = b.add(Add, left, right)
        if random.integers(2):
            x = b.add(Relu, x)
    if seed % 5 == 0:
        x = b.add(SumPositions, x, positions=int(np.prod(b.shape_of(x)[1:])))
    return b.head(x), b.images(11)


def branched(seed):
    """A network with bounds, joined channels, means of windows, depthwise convolutions and a linear layer within."""
    random = np.random.default_rng(seed)
    levels = level_set("apot", 3)
    b = Builder(seed, (int(random.integers(1, 4)), int(random.integers(6, 12)), int(random.integers(6, 12))))
    first = b.batch_norm(b.convolution(INPUT, int(random.integers(2, 23)), (3, 3), padding=(1, 1)))
    ends = sorted(int(n) for n in random.integers(-(2**13), 2**14, 2))
    x = b.add(Clip, first, lowest=min(0, ends[0]), highest=ends[1])
    codes = b.codes(x, levels, "depthwise", signed=seed % 2 == 0)
    channels = b.shape_of(codes)[0]
    deep = b.convolution(codes, channels, (3, 3), padding=(1, 1), groups=channels, levels=levels)
    folded = b.channel_codes(deep, level_set("uniform", 6), "wide", signed=seed % 4 < 2)
    wide = b.convolution(folded, int(random.integers(1, 20)), (2, 3), stride=(1, 1), padding=(1, 1))
    wide = b.mean(b.batch_norm(wide), (2, 1), (1, 1))
    parts = [x, wide, b.mean(x, (3, 3), (1, 1), (1, 1))]
    x = b.add(Concatenate, *(parts[n] for n in random.permutation(3)), parts[0])
    x = b.batch_norm(x) if seed % 2 else x
    stride = int(random.integers(1, 3)), int(random.integers(1, 3))
    x = b.mean(x, (2, int(random.integers(2, 4))), stride, (1, int(random.integers(0, 2))))
    if seed % 4 == 1:
        x = b.add(Relu, b.mean(x, b.shape_of(x)[1:], (1, 1)))
        x = b.add(Repeat, x, size=(2, 3))
    x = b.add(Flatten, x)
    codes = b.codes(x, level_set("uniform", 2), "linear", signed=seed % 3 == 1)
    sums = b.convolution(codes, int(random.integers(3, 35)), (1, 1))
    if seed % 4 > 1:
        return b.head(b.channel_codes(sums, levels, "head", signed=seed % 4 == 3)), b.images(11)
    return b.head(b.batch_norm(sums)), b.images(11)


def lively(count):
    """Networks whose logits differ from image to image, and images for each; whatever is wrong in them would show."""
    found = []
    for seed in itertools.count():
        network, images = branched(seed // 3) if seed % 3 == 2 else small(seed)
        if len(np.unique(Executor(network)(images).numpy(), axis=0)) > len(images) // 2:
            found.append((network, images))
        if len(found) == count:
            return found
