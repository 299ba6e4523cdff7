"""The reference executor against loops over Python's integers."""

import numpy as np
import pytest
import torch

from apot_lit.graph.steps import Add, Concatenate, Flatten, MaxPool, Relu, Repeat
from apot_lit.integer import Executor, IntegerNetwork
from apot_lit.integer.checking import check
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
from apot_lit.quant.levels import level_set

LEVELS = level_set("apot", 3)


def loops(network, image):
    """Values of one image ``[C][H][W]`` by name, with Python's integers alone."""
    top = 2 ** (network.stream_bit - 1)
    values = {"pixels": image.astype(object)}

    def saturate(x):
        return max(-top, min(top - 1, x))

    for step in network.steps:
        x = values[step.inputs[0]]
        if isinstance(step, Accumulate):
            y = convolve(x, step)
        elif isinstance(step, Rescale):
            y = np.array(x, copy=True)
            for c in range(len(x)):
                m, b, s = (int(array[c]) for array in (step.multiplier, step.bias, step.shift))
                y[c] = np.vectorize(lambda v, m=m, b=b, s=s: saturate((v * m + b) >> s), otypes=[object])(x[c])
        elif isinstance(step, Threshold):
            count = np.vectorize(lambda v, t=step.thresholds: sum(k <= v for k in t.tolist()))(x)
            y = np.vectorize(lambda n, codes=step.codes: codes[n], otypes=[object])(count)
        elif isinstance(step, ChannelThreshold):
            y = np.array(x, copy=True)
            for c, i, j in np.ndindex(x.shape):
                y[c, i, j] = step.codes[sum(t <= int(step.sign[c]) * x[c, i, j] for t in step.thresholds[c].tolist())]
        elif isinstance(step, Relu):
            y = np.vectorize(lambda v: max(v, 0), otypes=[object])(x)
        elif isinstance(step, Add):
            y = np.vectorize(lambda a, b: saturate(a + b), otypes=[object])(x, values[step.inputs[1]])
        elif isinstance(step, MaxPool):
            y = pool(x, step)
        elif isinstance(step, SumPositions):
            y = x.sum((1, 2)).reshape(-1, 1, 1)
        elif isinstance(step, Flatten):
            y = x.reshape(-1, 1, 1)
        elif isinstance(step, Clip):
            y = np.vectorize(lambda v, s=step: min(max(v, s.lowest), s.highest), otypes=[object])(x)
        elif isinstance(step, Concatenate):
            y = np.array([channel for name in step.inputs for channel in values[name]], object)
        elif isinstance(step, Repeat):
            y = np.array([[[channel[0, 0]] * step.size[1]] * step.size[0] for channel in x], object)
        elif isinstance(step, SumWindows):
            y = pool(x, step, sum)
        else:
            y = step.weight.astype(object) @ x.reshape(-1) + step.bias.astype(object)
        values[step.output] = y
    return values


def window_counts(x, size, stride, padding, dilation=(1, 1)):
    reach = [dilation[k] * (size[k] - 1) + 1 for k in (0, 1)]
    return [(x.shape[k + 1] + 2 * padding[k] - reach[k]) // stride[k] + 1 for k in (0, 1)]


def windows(x, size, stride, padding, dilation=(1, 1)):
    """Every window of a map with the places in it that lie on the map."""
    for i, j in np.ndindex(*window_counts(x, size, stride, padding, dilation)):
        places = []
        for u, v in np.ndindex(*size):
            row, column = i * stride[0] - padding[0] + u * dilation[0], j * stride[1] - padding[1] + v * dilation[1]
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                places.append((u, v, row, column))
        yield i, j, places


def convolve(x, step):
    outputs, per_group, *size = step.weight.shape
    geometry = (x, size, step.stride, step.padding, step.dilation)
    y = np.zeros((outputs, *window_counts(*geometry)), object)
    for i, j, places in windows(*geometry):
        for o in range(outputs):
            first = o // (outputs // step.groups) * per_group
            y[o, i, j] = sum(
                int(step.weight[o, c, u, v]) * (step.multiplier * x[first + c, row, column] - step.offset)
                for c in range(per_group)
                for u, v, row, column in places
            )
    return y


def pool(x, step, reduce=max):
    geometry = (x, step.kernel, step.stride, step.padding)
    y = np.zeros((len(x), *window_counts(*geometry)), object)
    for i, j, places in windows(*geometry):
        for c in range(len(x)):
            y[c, i, j] = reduce([x[c, row, column] for *_, row, column in places])
    return y


def network(seed, channels, size, stream_bit, multiplier, offset):
    """Random steps of every kind, some of which saturate."""
    g = np.random.default_rng(seed)

    def weights(*shape):
        return g.integers(-127, 128, shape).astype(np.int8)

    def rescale(name, source, count, size):
        m, s = g.integers(-32767, 32768, count).astype(np.int32), g.integers(8, 12, count).astype(np.int32)
        m[0] = 0
        return Rescale(name, (source,), m, g.integers(-size, size, count), s, name)

    thresholds = np.sort(g.integers(1, 100, (7,))).astype(np.int32)
    per_channel = np.sort(g.integers(-9999, 9999, (4, 7)), 1)
    signs = np.array([1, -1, 1, -1], np.int32)
    steps = [
        Accumulate(
            "a", ("pixels",), weights(4, channels, 3, 2), (2, 1), (1, 1), (1, 1), 1, None, "a", multiplier, offset, 255
        ),
        rescale("b", "a", 4, 10**7),
        MaxPool("c", ("b",), (3, 3), (2, 2), (1, 1)),
        Relu("d", ("c",)),
        Threshold("e", ("d",), thresholds, LEVELS.codes, LEVELS, "f"),
        Accumulate("f", ("e",), weights(4, 2, 3, 3), (1, 1), (2, 2), (2, 2), 2, LEVELS, "f", 1, 0, 10),
        ChannelThreshold("g", ("f",), per_channel, signs, LEVELS.codes, LEVELS, "h"),
        Accumulate("h", ("g",), weights(4, 4, 1, 1), (1, 1), (0, 0), (1, 1), 1, LEVELS, "h", 1, 0, 10),
        rescale("i", "h", 4, 10**4),
        Add("j", ("i", "d")),
        SumPositions("k", ("j",), 12),
        Flatten("l", ("k",)),
        Head("m", ("l",), weights(3, 4), "m", g.integers(-1000, 1000, 3)),
    ]
    return IntegerNetwork(steps, (channels, *size), stream_bit, 4, 1.0)


def test_bounds_joined_channels_windows_repetitions_and_inner_linear_layers_are_those_of_loops():
    g = np.random.default_rng(7)

    def rescale(name, source, count, most=700):
        arrays = g.integers(-most, most, count).astype(np.int32), g.integers(-1000, 1000, count)
        return Rescale(name, (source,), *arrays, np.full(count, 9, np.int32), name)

    def weights(*shape):
        return g.integers(-127, 128, shape).astype(np.int8)

    plain = ((1, 1), (0, 0), (1, 1), 1)
    thresholds = np.sort(g.integers(1, 9000, 7)).astype(np.int32)
    steps = [
        Accumulate("a", ("pixels",), weights(3, 2, 3, 3), *plain, None, "a", 1, 0, 255),
        rescale("b", "a", 3),
        Clip("c", ("b",), -120, 9000),
        SumWindows("d", ("c",), (2, 3), (1, 2), (1, 1)),
        rescale("e", "d", 3),
        SumWindows("f", ("b",), (2, 3), (1, 2), (1, 1)),
        rescale("g", "f", 3),
        Concatenate("h", ("e", "g", "e")),
        SumWindows("i", ("h",), (7, 3), (1, 1), (0, 0)),
        rescale("j", "i", 9, 60),
        Repeat("k", ("j",), (2, 3)),
        Flatten("l", ("k",)),
        Threshold("n", ("l",), thresholds, LEVELS.codes, LEVELS, "o"),
        Accumulate("o", ("n",), weights(5, 54, 1, 1), *plain, None, "o", 1, 0, 10),
        ChannelThreshold(
            "p", ("o",), np.sort(g.integers(-9999, 9999, (5, 7)), 1), np.ones(5, np.int32), LEVELS.codes, LEVELS, "m"
        ),
        Head("m", ("p",), weights(4, 5), "m", g.integers(-1000, 1000, 4)),
    ]
    network = IntegerNetwork(steps, (2, 8, 7), 16, 4, 1.0)
    check(network)
    images = g.integers(0, 256, (3, 2, 8, 7)).astype(np.uint8)
    seen = {}
    logits = Executor(network, watch=lambda step, value: seen.update({step.output: value}))(torch.from_numpy(images))
    assert seen["h"].shape == (3, 9, 7, 3)
    for k, image in enumerate(images):
        expected = loops(network, image)
        for step in steps:
            values = seen[step.output].clamp(-(2**15), 2**15 - 1) if isinstance(step, Rescale) else seen[step.output]
            assert values[k].tolist() == expected[step.output].tolist(), step.output
        assert logits[k].tolist() == expected["m"].tolist()
    assert len(np.unique(seen["o"].flatten(1).numpy(), axis=0)) == 3


@pytest.mark.parametrize(
    ("channels", "size", "stream_bit", "pixels"),
    [(1, (7, 6), 16, (1, 33)), (3, (5, 5), 8, (1, 0)), (2, (8, 9), 12, (200, 6681))],
)
def test_every_value_is_that_of_loops(channels, size, stream_bit, pixels):
    steps = network(channels, channels, size, stream_bit, *pixels)
    images = np.random.default_rng(1).integers(0, 256, (3, channels, *size)).astype(np.uint8)
    seen = {}

    def watch(step, value):
        top = steps.largest
        clamped = value.clamp(-top - 1, top) if isinstance(step, Rescale | Add) else value
        seen[step.output] = clamped.numpy()

    logits = Executor(steps, watch=watch)(torch.from_numpy(images))
    saturated = False
    for k, image in enumerate(images):
        expected = loops(steps, image)
        for name, values in seen.items():
            assert values[k].tolist() == expected[name].tolist(), name
        assert logits[k].tolist() == expected["m"].tolist()
        saturated |= steps.largest in expected["b"].flatten().tolist()
    assert saturated


def test_values_do_not_depend_on_batch_autocast_or_memory_format():
    steps = network(0, 3, (8, 8), 16, 1, 33)
    images = torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8)
    executor = Executor(steps)
    expected = torch.cat([executor(image[None]) for image in images])
    assert torch.equal(executor(images), expected)
    assert torch.equal(executor(images.contiguous(memory_format=torch.channels_last)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(executor(images), expected)


def test_a_network_says_what_it_is_in_one_line():
    said = repr(network(0, 1, (7, 6), 12, 1, 33))
    assert said == "IntegerNetwork(13 steps, input_shape=(1, 7, 6), stream_bit=12, fraction=4, logit_scale=1)"
