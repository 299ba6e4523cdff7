"""Layers of a trained network: memories that hold its weights, and units that give its codes on real digits."""

import json

import numpy as np
import pytest

from apot_lit.errors import UserError
from apot_lit.hardware.layer_files import run_layer, write_layers
from apot_lit.hardware.layer_units import layers_of
from apot_lit.integer import Executor, to_integers
from apot_lit.integer.network import ChannelThreshold
from tests.export.conftest import digits, trained
from tests.hardware.conftest import needs_simulator

LANES = 8
KINDS = {"apot": {"power": 1}, "uniform": {"power": 0}, "pot": {"power": 1, "additive": False}}


def integers(scheme, bit=3):
    images, _ = digits("train")
    return to_integers(trained(bit, width=4, steps=10, **KINDS[scheme]), images[:200])


def value_of(network, images, name):
    found = {}
    Executor(network, watch=lambda step, value: found.update({step.output: value}))(images)
    return found[name].numpy()


def memory(path):
    return [int(line, 16) for line in path.read_text().split()]


@pytest.mark.parametrize("scheme", KINDS)
def test_units_give_the_codes_of_the_network_of_integers(scheme):
    """Computed in Python, word for word as the memories have it, for some outputs of every layer."""
    network, images = integers(scheme), digits()[0][:1]
    layers = layers_of(network, LANES)
    assert len(layers) == 11
    assert {type(layer.after).__name__ for layer in layers} == {"ChannelThreshold", "Rescale"}
    for layer in layers:
        read, given = value_of(network, images, layer.sums.inputs[0]), value_of(network, images, layer.after.output)
        sums, padding = layer.sums, layer.sums.padding[0]
        padded = np.pad(read[0], [(0, 0), (padding, padding), (padding, padding)])
        weight_rows, channel_rows = layer.weight_words(), layer.channel_words()
        results = layer.result_words(given)
        for channel in range(given.shape[1]):
            row, column = channel % given.shape[2], channel % given.shape[3]
            y, x = row * sums.stride[0], column * sums.stride[1]
            kernel = sums.weight.shape[2]
            patch = layer.activation_words(padded[:, y : y + kernel, x : x + kernel])
            held = np.array(0, object)
            width = layer.multiplication.operands()[1].width
            for chunk in range(layer.chunks):
                lanes = patch[chunk * LANES : (chunk + 1) * LANES]
                activations = sum(word << (width * lane) for lane, word in enumerate(lanes))
                inputs = {"weights": np.array(weight_rows[channel * layer.chunks + chunk], object), "sum": held}
                held = layer.dot.evaluate({**inputs, "activations": np.array(activations, object)})["sum"]
            inputs, word = {"value": held}, channel_rows[channel]
            for port in reversed([port for port in layer.behind.inputs if port.text != "value"]):
                value = word % (1 << port.width)
                half = 1 << (port.width - 1)
                inputs[port.text] = np.array((value ^ half) - half if port.signed else value, object)
                word >>= port.width
            (result,) = layer.behind.evaluate(inputs).values()
            place = (channel * given.shape[2] + row) * given.shape[3] + column
            wide = layer.network.stream_bit
            assert int(result) % (1 << wide) == results[place]


@needs_simulator
@pytest.mark.parametrize("scheme", KINDS)
def test_whole_layers_on_real_digits(tmp_path, scheme):
    network, images = integers(scheme), digits()[0][:2]
    for name in ("layer1.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0"):
        directory = write_layers(network, images, name, LANES, tmp_path)[name]
        facts = json.loads((directory / "layer.json").read_text())
        outputs = int(np.prod(facts["result_shape"]))
        assert run_layer(directory) == f"layer_testbench: {outputs} compared, 0 different"
        assert len(memory(directory / "results.mem")) == outputs
        assert len(memory(directory / "weights.mem")) == facts["result_shape"][1] * facts["clocks_per_output"]


@needs_simulator
def test_a_changed_weight_is_found_out(tmp_path):
    network, images = integers("apot"), digits()[0][:1]
    (directory,) = write_layers(network, images, "layer1.0.conv1", LANES, tmp_path).values()
    rows = (directory / "weights.mem").read_text().split()
    (directory / "weights.mem").write_text("\n".join([f"{int(rows[0], 16) ^ 4:x}", *rows[1:]]))
    said = run_layer(directory)
    assert said.splitlines()[0].startswith("image 0, channel 0, ")
    assert not said.endswith(" 0 different")


def test_memories_hold_every_weight(tmp_path):
    network, images = integers("uniform"), digits()[0][:1]
    (directory,) = write_layers(network, images, "layer3.0.conv1", LANES, tmp_path).values()
    layer = next(one for one in layers_of(network, LANES) if one.name == "layer3.0.conv1")
    bits = layer.multiplication.operands()[0].width
    codes = []
    for word in memory(directory / "weights.mem"):
        lanes = [(word >> (bits * lane)) % (1 << bits) for lane in range(LANES)]
        codes += [-(lane % (1 << (bits - 1))) if lane >> (bits - 1) else lane for lane in lanes]
    rows = np.array(codes).reshape(len(layer.sums.weight), -1)
    assert (rows[:, : layer.fan_in] == layer.sums.weight.reshape(len(rows), -1)).all()
    assert (rows[:, layer.fan_in :] == 0).all()
    assert isinstance(layer.after, ChannelThreshold)


def test_layers_that_read_no_codes_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"^layer=conv1: must be a layer that reads codes: layer1\.0\.conv1, "):
        write_layers(integers("apot"), digits()[0][:1], "conv1", LANES, tmp_path)
    assert not list(tmp_path.iterdir())
