"""What a network of integers does and holds, counted by hand and by other means."""

import numpy as np
import pytest

from apot_lit.evaluation.cost import measure_cost
from apot_lit.graph.steps import Add, Flatten, Relu
from apot_lit.integer import to_integers
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Head,
    IntegerNetwork,
    Rescale,
    SumPositions,
    Threshold,
)
from apot_lit.integer.workload import count_operations, working_bytes
from apot_lit.quant.levels import level_set
from tests.export.conftest import digits, trained

LEVELS = level_set("apot", 3)  # 0 1 2 3 4 6 8 10
ONES = np.ones(2, np.int32)


def by_hand(stream_bit):
    """One channel of 4x4 pixels to two channels, codes, two channels, a residual sum and two classes."""
    first = np.array([1, -3, 7, 0], np.int8).reshape(2, 1, 1, 2)  # 1, 2 and 2 (8 - 1) terms: 5
    second = np.array([1, -3, 10, 0], np.int8).reshape(2, 2, 1, 1)  # 1, 2 (2 + 1) and 2 (8 + 2) terms: 5
    one = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    rescale = ONES, ONES.astype(np.int64), ONES
    steps = [
        Accumulate("a", ("pixels",), first, *one.values(), None, "first", 1, 33, 255),
        Rescale("b", ("a",), *rescale, "first"),
        Relu("c", ("b",)),
        Threshold("d", ("c",), np.arange(1, 8, dtype=np.int32), LEVELS.codes, LEVELS, "second"),
        Accumulate("e", ("d",), second, *one.values(), LEVELS, "second", 1, 0, 10),
        Rescale("f", ("e",), *rescale, "second"),
        Add("g", ("f", "c")),
        SumPositions("h", ("g",), 12),
        Flatten("i", ("h",)),
        Head("j", ("i",), np.array([[127, 0], [-64, 5]], np.int8), "last", np.zeros(2, np.int64)),
    ]
    return IntegerNetwork(steps, (1, 4, 4), stream_bit, 4, 1.0)


def test_a_small_network_by_hand():
    first, second, last = count_operations(by_hand(16))
    # 12 positions (4 x 3); the first layer's outputs are 24.
    assert (first.macs, first.shift_adds, first.multiplications, first.comparisons) == (48, 60, 24, 0)
    assert (first.weight_bytes, first.constant_bytes) == (2, 2 * (2 + 1 + 8))  # 7 and a sign: 4 bits
    assert (second.macs, second.shift_adds, second.multiplications, second.comparisons) == (48, 60, 24, 24 * 7)
    assert (second.weight_bytes, second.constant_bytes) == (2, 7 * 2 + 2 * (2 + 1 + 8))
    # 127 = 128 - 1, 64 and 5 = 4 + 1: 5 terms.
    assert (last.macs, last.shift_adds, last.multiplications, last.comparisons) == (4, 5, 0, 0)
    assert (last.weight_bytes, last.constant_bytes) == (4, 16)


@pytest.mark.parametrize(("stream_bit", "expected"), [(16, 3 * 24 * 2), (8, 3 * 24)])
def test_working_memory_by_hand(stream_bit, expected):
    # The most is alive at the sum: what it reads and what it gives. Pixels and codes are gone by then.
    assert working_bytes(by_hand(stream_bit)) == expected


def test_folded_batch_norms_multiply_nothing():
    steps = by_hand(16).steps
    thresholds = ChannelThreshold("d", ("a",), np.zeros((2, 7), np.int64), ONES, LEVELS.codes, LEVELS, "second")
    total = SumPositions("h", ("f",), 12)
    folded = IntegerNetwork([steps[0], thresholds, steps[4], steps[5], total, *steps[8:]], (1, 4, 4), 16, 4, 1.0)
    first, second, _ = count_operations(folded)
    assert (first.multiplications, first.constant_bytes) == (0, 0)
    assert (second.comparisons, second.constant_bytes) == (24 * 7, 2 * 7 * 4 + 2 * (2 + 1 + 8))


def test_products_are_those_of_the_network_in_floats():
    network = trained(4, 1, "resnet18")
    floats = {layer.name: layer.macs for layer in measure_cost(network, (1, 1, 28, 28)).layers}
    integers = to_integers(network, digits("train")[0][:100])
    assert {operations.layer: operations.macs for operations in count_operations(integers)} == floats
