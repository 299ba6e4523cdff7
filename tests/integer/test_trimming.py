"""What is cut off is what no output reads, and nothing else changes."""

import numpy as np
import pytest
import torch

from apot_lit.graph.steps import Flatten
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import Accumulate, Head, IntegerNetwork, Rescale, SumPositions
from apot_lit.integer.trimming import trim_taps


def network(size, kernel, stride, padding, seed=0):
    """One convolution over pixels, all of whose sums reach the logits."""
    random = np.random.default_rng(seed)
    weight = random.integers(-7, 8, (3, 2, kernel, kernel)).astype(np.int8)
    outputs = (size + 2 * padding - kernel) // stride + 1
    convolution = Accumulate(
        "sums", ("pixels",), weight, (stride, stride), (padding, padding), (1, 1), 1, None, "conv", 1, 3, 255
    )
    one, zero = np.ones(3, np.int32), np.zeros(3, np.int64)
    steps = [
        convolution,
        Rescale("stream", ("sums",), one, zero, 0 * one, "conv"),
        SumPositions("total", ("stream",), outputs**2),
        Flatten("flat", ("total",)),
        Head("logits", ("flat",), np.eye(3, dtype=np.int8), "fc", zero),
    ]
    return IntegerNetwork(steps, (2, size, size), 16, 0, 1.0)


def read_taps(size, kernel, stride, padding):
    """Brute force: the taps of a row that lie on the map for some output."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    return [tap for tap in range(kernel) if any(0 <= o * stride - padding + tap < size for o in range(outputs))]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "left"),
    [
        (1, 3, 1, 1, 1),
        (2, 3, 2, 1, 2),
        (2, 3, 1, 1, 3),
        (4, 3, 2, 1, 3),
        (1, 5, 2, 2, 1),
        (2, 1, 2, 0, 1),
        (3, 5, 1, 4, 5),
    ],
)
def test_only_taps_that_are_read_are_left(size, kernel, stride, padding, left):
    whole = network(size, kernel, stride, padding)
    trimmed = trim_taps(whole)
    weight, expected = trimmed.steps[0].weight, whole.steps[0].weight
    taps = read_taps(size, kernel, stride, padding)
    assert weight.shape[2:] == (left, left) == (len(taps), len(taps))
    np.testing.assert_array_equal(weight, expected[:, :, taps][:, :, :, taps])
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 2, size, size), np.uint8))
    assert torch.equal(Executor(trimmed)(pixels), Executor(whole)(pixels))
