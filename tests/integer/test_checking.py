"""Networks of integers that could not be computed, or would leave their types, are refused."""

from dataclasses import replace

import numpy as np
import pytest

from apot_lit.errors import UserError
from apot_lit.graph.steps import Add, Relu
from apot_lit.integer import to_integers
from apot_lit.integer.checking import check
from apot_lit.integer.network import Accumulate, ChannelThreshold, Head, Rescale, SumPositions
from tests.export.conftest import REFERENCE_PIXELS, digits, trained


@pytest.fixture(scope="module")
def integers():
    return to_integers(trained(3, 1, width=4, steps=5), digits("train")[0][:50])


def changed(network, kind, **values):
    """The network with other values in the first step of a kind."""
    steps = list(network.steps)
    index = next(index for index, step in enumerate(steps) if isinstance(step, kind))
    steps[index] = replace(steps[index], **values)
    return replace(network, steps=steps), steps[index]


@pytest.mark.parametrize(
    "options",
    [
        {"bit": 2, "power": 1, "lr": 0.001},
        {"bit": 5, "power": 0},
        {"bit": 4, "power": 1, "pixels": REFERENCE_PIXELS, "stem": "small"},
        {"bit": 3, "power": 1, "additive": False, "name": "resnet50", "width": 4, "steps": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("stream_bit", [8, 16])
def test_what_conversion_makes_passes(options, fold, stream_bit):
    check(to_integers(trained(**options), digits("train")[0][:50], stream_bit, fold))


@pytest.mark.parametrize(
    ("kind", "values", "part"),
    [
        (Accumulate, {"weight": np.full((4, 1, 7, 7), 127, np.int8), "multiplier": 2**15, "offset": 0}, "than int32"),
        (Accumulate, {"stride": (28, 28), "padding": (0, 0), "dilation": (5, 5)}, "does not fit its input"),
        (Accumulate, {"weight": np.ones((4, 1, 7), np.int8)}, "must have weights of four dimensions"),
        (Rescale, {"multiplier": np.full(4, -(2**15), np.int32)}, "must have multipliers of at most 16 bits"),
        (Rescale, {"shift": np.full(4, 41, np.int32)}, "must have shifts of 0 to 40"),
        (ChannelThreshold, {"codes": (0, 1, 2, 3, 4, 6, 8, 11)}, "must give the codes of its levels"),
        (SumPositions, {"positions": 2}, "must add up 1 positions"),
        (Head, {"bias": np.full(10, 2**53)}, "logits need 55 bits, more than 54"),
        (Head, {"weight": np.ones((10, 5), np.int8)}, "reads 5 values, gets 32"),
        (Add, {"inputs": ("relu", "pixels")}, "can't read pixels"),
        (Relu, {"inputs": ("conv1_sums",)}, "can't read sums"),
    ],
)
def test_what_is_wrong_is_named(integers, kind, values, part):
    network, step = changed(integers, kind, **values)
    with pytest.raises(UserError, match=part) as error:
        check(network)
    assert step.output in str(error.value) or step.layer in str(error.value)


def test_the_last_step_gives_logits(integers):
    with pytest.raises(UserError, match=r"^flatten: can't be the last step"):
        check(replace(integers, steps=integers.steps[:-1]))
    with pytest.raises(UserError, match=r"^the network: has no steps"):
        check(replace(integers, steps=[]))
