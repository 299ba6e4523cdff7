"""Networks of integers as plain containers: back again as they were, and nothing else is let in."""

import copy
import json
from random import Random

import numpy as np
import pytest
import torch

from apot_lit.errors import UserError
from apot_lit.integer import Executor, to_integers
from apot_lit.integer.network import Rescale, Threshold
from apot_lit.stored.description import Description, describe, restore
from tests.mutations import PLAIN, WIDE, mutated
from tests.stored.networks import attempt, both, configuration, images


@pytest.fixture(scope="module")
def described():
    _, integers = both(configuration(width=2, bit=3))
    return integers, describe(integers)


@pytest.mark.parametrize(
    ("quant", "fold"), [({"bit": 2}, True), ({"bit": 3, "additive": False}, False), ({"bit": 8, "power": 0}, True)]
)
@pytest.mark.parametrize("stream_bit", [8, 16])
def test_networks_come_back(quant, fold, stream_bit):
    network, _ = both(configuration(name="resnet50", width=2, **quant))
    integers = to_integers(network, images(), stream_bit, fold)
    assert any(isinstance(step, Threshold | Rescale) for step in integers.steps)
    plain, arrays, weights = describe(integers)
    again = restore(Description(json.loads(json.dumps(plain)), arrays, weights))
    assert torch.equal(Executor(again)(images(seed=4)), Executor(integers)(images(seed=4)))
    assert json.dumps(describe(again).plain) == json.dumps(plain)
    for step, expected in zip(again.steps, integers.steps, strict=True):
        assert type(step) is type(expected)
        assert all(np.array_equal(getattr(step, key), value) for key, value in vars(expected).items())


def test_arrays_take_no_more_bytes_than_their_values(described):
    for name, array in described[1].arrays.items():
        least = next(
            size for size in (8, 16, 32, 64) if -(2 ** (size - 1)) <= array.min() and array.max() < 2 ** (size - 1)
        )
        assert array.dtype == np.dtype(f"int{least}"), name


def step_of(plain, kind):
    return next(step for step in plain["steps"] if step["kind"] == kind)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda p: p["steps"][0].update(kind="convolution"), "steps[0].kind=convolution: must be one of accumulate,"),
        (lambda p: p["steps"][0].update(output=""), "steps[0].output=: must be a name"),
        (lambda p: p["steps"][0].update(inputs=["here"]), "reads here, which is not there"),
        (lambda p: p["steps"][0].update(stride=[0, 1]), "steps[0].stride[0]=0: must be an integer, at least 1"),
        (lambda p: p["steps"][0].update(stride=[2]), "steps[0].stride=(list): must be a list of 2"),
        (lambda p: p["steps"][0].update(padding=[4097, 1]), "padding[0]=4097: must be an integer"),
        (lambda p: p["steps"][0].update(dilation=[99, 1]), "does not fit its input"),
        (lambda p: p["steps"][0].update(groups=3), "must have as many outputs in each group"),
        (lambda p: p["steps"][0].update(groups=2), "layer conv1: reads 2 channels, gets 1"),
        (lambda p: p["steps"][0].update(offset=256), "must read codes as they are"),
        (lambda p: p["steps"][0].update(largest=254), "must expect inputs up to 255"),
        (lambda p: p["steps"][0].update(bias=3), "steps[0]: accumulate has no bias"),
        (lambda p: p["steps"].pop(1), "belongs to no step"),
        (lambda p: p["steps"].append({"kind": "relu", "output": "r", "inputs": ["fc"]}), "r: can't read logits"),
        (lambda p: p["steps"].insert(1, copy.deepcopy(p["steps"][0])), "is there twice"),
        (lambda p: p.update(steps=[]), "belongs to no step"),
        (lambda p: p.update(steps=p["steps"][:1]), "belongs to no step"),
        (lambda p: p.update(stream_bit=17), "stream_bit=17: must be an integer, at least 8, at most 16"),
        (lambda p: p.update(fraction=-1), "fraction=-1"),
        (lambda p: p.update(logit_scale=float("nan")), "logit_scale=nan: must be a finite number"),
        (lambda p: p.update(input_shape=[1, 28]), "input_shape=(list): must be a list of 3"),
        (lambda p: p.update(input_shape=[1, 29, 4096]), "must"),
        (lambda p: step_of(p, "channel_threshold")["levels"].update(bits=2), "must have thresholds"),
        (lambda p: step_of(p, "channel_threshold")["levels"].update(scheme="log"), "must be apot, pot or uniform"),
        (lambda p: step_of(p, "max_pool").update(padding=[2, 2]), "must have windows that reach the map"),
        (lambda p: step_of(p, "sum_positions").update(positions=5), "must add up 1 positions"),
        (lambda p: step_of(p, "add").update(inputs=["pixels"]), "must read 2, not 1"),
        (lambda p: p["steps"].insert(0, {"kind": "relu", "output": "r", "inputs": ["pixels"]}), "r: can't read pixels"),
        (lambda p: p.update(more=1), "more: unknown here"),
    ],
)
def test_whatever_is_wrong_is_said_in_one_line(described, change, part):
    plain, arrays, weights = copy.deepcopy(described[1])
    change(plain)
    with pytest.raises(UserError) as error:
        restore(Description(plain, arrays, weights))
    assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("ending", "change", "part"),
    [
        (".shift", lambda a: a + 100, "must have shifts of 0 to 40"),
        (".multiplier", lambda a: a.astype(np.int32) * 0 + 2**15, "must have multipliers of at most 16 bits"),
        (".multiplier", lambda a: a[:-1], "must have numbers for"),
        (".bias", lambda a: np.full(a.shape, np.iinfo(np.int64).min), "needs 65 bits, more than 64"),
        (".thresholds", lambda a: a[..., ::-1], "must have thresholds that ascend"),
        (".thresholds", lambda a: a[..., :-1], "must have thresholds ["),
        (".sign", lambda a: a * 0, "signs, 1 or -1"),
        (".sign", lambda a: a.astype(np.float32), "must be integers of at most 32 bits"),
    ],
)
def test_arrays_are_held_to_their_meaning(described, ending, change, part):
    plain, arrays, weights = described[1]
    name = next(name for name in sorted(arrays) if name.endswith(ending) and not name.startswith("fc"))
    with pytest.raises(UserError, match=r"^[^\n]*$") as error:
        restore(Description(plain, {**arrays, name: np.array(change(arrays[name]))}, weights))
    assert part in str(error.value)


def test_weights_are_levels_of_the_layer(described):
    plain, arrays, weights = described[1]
    for changed in (weights["layer1.0.conv1"] * 0 + 3, weights["layer1.0.conv1"][0]):
        with pytest.raises(UserError, match=r"has weights that are no levels|must have weights of four dimensions"):
            restore(Description(plain, arrays, {**weights, "layer1.0.conv1": changed}))


def test_any_mutation_is_refused_in_one_line_or_computes(described):
    """Whatever is let in runs: no crash, no endless memory."""
    refused = 0
    for seed in range(300):
        random = Random(seed)
        steps = [("steps", random.randrange(len(described[1].plain["steps"]))) for _ in range(2)]
        plain = mutated(described[1].plain, random, [*PLAIN, WIDE, [1, 1], [3, 3], 2, 7], [*steps, ()])
        network, error = attempt(restore, Description(plain, *described[1][1:]))
        if network is None:
            assert "\n" not in str(error)
            refused += 1
        else:
            pixels = torch.zeros(1, *network.input_shape, dtype=torch.uint8)
            assert Executor(network)(pixels).shape == (1, 10)
    assert refused > 200
