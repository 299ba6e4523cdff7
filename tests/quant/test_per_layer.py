"""Options of single layers, by patterns of their names."""

import dataclasses
import pickle

import pytest
import torch

from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import QuantSpec, clipping_thresholds, quant_layers, quantize_model
from apot_lit.quant.quantizers import (
    ActivationQuantizer,
    FloatPassthrough,
    InputCodes,
    MaxWeightQuantizer,
    WeightQuantizer,
)


def resnet():
    return ResNet("resnet10", width=4, input=PixelInput(33 / 255, 0.3081))


def layers(overrides, **options):
    return dict(quant_layers(quantize_model(resnet(), QuantSpec(overrides=overrides, **options))))


def bits(layer):
    return layer.weight_quantizer.bit, layer.act_quantizer.bit


def test_a_pattern_reaches_the_layers_it_matches_and_no_others():
    found = layers({"layer1.*": {"bit": 8}, "layer3.0.conv2": {"act_bit": 2}}, bit=4)
    for name, layer in found.items():
        if name not in ("conv1", "fc"):
            expected = (8, 8) if name.startswith("layer1.") else (4, 2) if name == "layer3.0.conv2" else (4, 4)
            assert bits(layer) == expected, name


def test_every_option_reaches_its_quantiser():
    options = {
        "bit": 6, "act_bit": 3, "power": 1, "additive": False, "weight_alpha": 1.5, "act_alpha": 2.5,
        "weight_norm": False,
    }  # fmt: skip
    found = layers({"layer2.0.conv1": options}, bit=4, power=0)
    changed, other = found["layer2.0.conv1"], found["layer2.0.conv2"]
    assert (bits(changed), changed.weight_quantizer.levels.scheme, changed.act_quantizer.levels.scheme) == (
        *((6, 3),), "pot", "pot",
    )  # fmt: skip
    assert (float(changed.weight_quantizer.alpha), float(changed.act_quantizer.alpha)) == (1.5, 2.5)
    assert not changed.weight_quantizer.normalize
    assert (bits(other), other.weight_quantizer.levels.scheme, float(other.act_quantizer.alpha)) == (
        *((4, 4),), "uniform", 6.0,
    )  # fmt: skip
    assert other.weight_quantizer.normalize


def test_later_patterns_win_option_by_option():
    found = layers({"layer*": {"bit": 3, "power": 0}, "layer2.*": {"weight_bit": 5}, "*.conv2": {"bit": 8}}, bit=4)
    assert bits(found["layer1.0.conv1"]) == (3, 3)
    assert bits(found["layer2.0.conv1"]) == (5, 3)
    assert bits(found["layer2.0.conv2"]) == (8, 8)
    assert found["layer2.0.conv2"].weight_quantizer.levels.scheme == "uniform"
    reverse = layers({"*.conv2": {"bit": 8}, "layer*": {"bit": 3}}, bit=4)
    assert bits(reverse["layer2.0.conv2"]) == (3, 3)


def test_bits_of_the_network_for_one_kind_give_way_to_the_bits_of_a_layer():
    assert bits(layers({"layer1.*": {"bit": 8}}, bit=4, weight_bit=2, act_bit=3)["layer1.0.conv1"]) == (8, 8)
    assert bits(layers({"layer1.*": {"power": 0}}, bit=4, weight_bit=2, act_bit=3)["layer1.0.conv1"]) == (2, 3)


def test_a_layer_can_stay_float():
    layer = layers({"layer1.0.conv1": {"bit": 32}}, bit=4)["layer1.0.conv1"]
    assert isinstance(layer.weight_quantizer, FloatPassthrough)
    assert isinstance(layer.act_quantizer, FloatPassthrough)


def test_first_and_last_layer_are_as_before_unless_a_pattern_gives_them_bits():
    plain = layers({"*": {"power": 0, "act_alpha": 1.0}}, bit=4)
    assert isinstance(plain["conv1"].weight_quantizer, MaxWeightQuantizer)
    assert isinstance(plain["fc"].weight_quantizer, MaxWeightQuantizer)
    assert isinstance(plain["fc"].act_quantizer, FloatPassthrough)
    given = layers({"conv1": {"bit": 6}, "fc": {"weight_bit": 3, "power": 0}}, bit=4)
    assert isinstance(given["conv1"].weight_quantizer, WeightQuantizer)
    assert (given["conv1"].weight_quantizer.bit, given["fc"].weight_quantizer.bit) == (6, 3)
    assert isinstance(given["conv1"].act_quantizer, InputCodes)  # the pixels' integers are exact in any case
    assert isinstance(given["fc"].act_quantizer, FloatPassthrough)
    both = layers({"fc": {"bit": 4}}, bit=2)["fc"]
    assert isinstance(both.act_quantizer, ActivationQuantizer)
    assert bits(both) == (4, 4)


def test_a_network_of_several_bit_widths_computes_and_learns():
    torch.manual_seed(0)
    spec = QuantSpec(bit=4, overrides={"conv1": {"bit": 6}, "layer1.*": {"bit": 8, "power": 0}, "fc": {"bit": 3}})
    network = quantize_model(resnet(), spec)
    network(torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert {"weight", "act"} == clipping_thresholds(network)["fc"].keys()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"layer1.*": {"bits": 8}}, "overrides.layer1.*.bits: unknown option (did you mean bit?); a layer has bit, "),
        ({"layer1.*": {"bit": 9}}, "overrides.layer1.*.bit=9: must be one of 2, 3, 4, 5, 6, 7, 8, 32"),
        ({"fc": {"weight_bit": None}}, "overrides.fc.weight_bit=null: must be one of 2"),
        ({"fc": {"weight_alpha": 0}}, "overrides.fc.weight_alpha=0: must be a number from 0.001"),
        ({"fc": {"weight_norm": 1}}, "overrides.fc.weight_norm=1: must be true or false"),
        ({"fc": 8}, "overrides.fc=8: must be options of layers, as {bit: 8}"),
        ([8], "overrides=[8]: must be options by patterns of names"),
    ],
)
def test_wrong_options_are_refused_with_one_line(overrides, message):
    with pytest.raises(ValueError, match="overrides") as error:
        QuantSpec(overrides=overrides)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_full_precision_has_no_layers_of_few_bits():
    with pytest.raises(ValueError, match=r"overrides=.*: bit=32 is full precision everywhere"):
        QuantSpec(bit=32, overrides={"fc": {"bit": 4}})


def test_a_pattern_without_a_layer_is_refused_with_the_layers_near_it():
    with pytest.raises(ValueError, match=r"^overrides\.layr1\.\*: matches no layer; near it are layer1\.0\.conv1,"):
        layers({"layr1.*": {"bit": 8}})
    with pytest.raises(ValueError, match=r"^overrides\.layer1: matches no layer"):  # a stage, no layer
        layers({"layer1": {"bit": 8}})
    with pytest.raises(ValueError, match=r"near it are conv1, layer1\.0\.conv1, layer1\.0\.conv2"):
        layers({"zzz": {"bit": 8}})


def test_they_are_values_that_nobody_changes():
    given = {"layer1.*": {"bit": 8}}
    spec = QuantSpec(overrides=given)
    given["layer1.*"]["bit"] = 2
    assert spec.overrides["layer1.*"] == {"bit": 8}
    assert spec == QuantSpec(overrides={"layer1.*": {"bit": 8}}) != QuantSpec()
    assert len({spec, QuantSpec(overrides={"layer1.*": {"bit": 8}}), QuantSpec()}) == 2
    with pytest.raises(TypeError):
        spec.overrides["fc"] = {"bit": 2}
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert QuantSpec(**dataclasses.asdict(spec)) == spec
    assert spec.overrides.plain() == {"layer1.*": {"bit": 8}}
