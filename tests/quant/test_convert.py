import copy
import io
import pickle
import shutil

import pytest
import torch
import torchvision
from torch import nn

from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import (
    QuantConv2d,
    QuantLinear,
    QuantSpec,
    clipping_thresholds,
    dequantize_model,
    quant_layers,
    quantize_model,
)
from apot_lit.quant.quantizers import (
    ActivationQuantizer,
    FloatPassthrough,
    InputCodes,
    MaxWeightQuantizer,
    WeightQuantizer,
)
from tests.conftest import slowly
from tests.quant import exact


class Nested(nn.Module):
    """Layers at several depths and in several containers, one of them under two names."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.branches = nn.ModuleDict({"a": nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()), "b": nn.ModuleList()})
        self.branches["b"].append(nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False))
        self.again = self.branches["a"][0]
        self.nothing = None
        self.register_module("absent", None)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        x = self.branches["a"](x) + self.branches["b"][0](x)
        return self.head(self.again(x.relu()).mean((2, 3)))


def sequential():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(5 * 16, 7), nn.ReLU(), nn.Linear(7, 3),
    )  # fmt: skip


def images(channels=1, size=8):
    return exact.gaussian(2, channels, size, size, seed=9)


def types(model):
    return {name: type(layer).__name__ for name, layer in quant_layers(model)}


def test_every_layer_of_a_nested_model_is_replaced():
    quantized = quantize_model(Nested(), QuantSpec(bit=4))
    expected = {"stem", "branches.a.0", "branches.b.0", "head"}
    assert set(types(quantized)) == expected
    assert quantized.again is quantized.branches["a"][0]
    assert quantized.branches["b"][0].groups == 2
    assert quantized.absent is None
    assert not any(type(module) in (nn.Conv2d, nn.Linear) for module in quantized.modules())
    quantized(images()).sum().backward()


def test_first_and_last_layer_keep_eight_bits_and_their_input():
    quantized = quantize_model(sequential(), QuantSpec(bit=3))
    layers = [layer for _, layer in quant_layers(quantized)]
    assert [type(layer) for layer in layers] == [QuantConv2d] * 3 + [QuantLinear] * 2
    for edge in (layers[0], layers[-1]):
        assert isinstance(edge.weight_quantizer, MaxWeightQuantizer)
        assert edge.weight_quantizer.bit == 8
        assert isinstance(edge.act_quantizer, FloatPassthrough)
    for inner in layers[1:-1]:
        assert isinstance(inner.weight_quantizer, WeightQuantizer)
        assert isinstance(inner.act_quantizer, ActivationQuantizer)
        assert (inner.weight_quantizer.bit, inner.act_quantizer.bit) == (3, 3)
        assert inner.weight_quantizer.normalize


def test_the_spec_reaches_every_quantiser():
    spec = QuantSpec(
        bit=4, power=0, weight_bit=3, act_bit=6, first_bit=5, last_bit=32, weight_alpha=2.5, act_alpha=1.5,
        weight_norm=False, grad_scale=0.25,
    )  # fmt: skip
    layers = [layer for _, layer in quant_layers(quantize_model(sequential(), spec))]
    assert layers[0].weight_quantizer.bit == 5
    assert isinstance(layers[-1].weight_quantizer, FloatPassthrough)
    for inner in layers[1:-1]:
        weights, acts = inner.weight_quantizer, inner.act_quantizer
        assert (weights.bit, weights.levels.scheme, weights.alpha, weights.grad_scale) == (3, "uniform", 2.5, 0.25)
        assert (acts.bit, acts.levels.scheme, acts.alpha, acts.grad_scale) == (6, "uniform", 1.5, 0.25)
        assert not weights.normalize


@pytest.mark.parametrize(("option", "kind"), [("weight_bit", "weight"), ("act_bit", "act")])
def test_one_kind_can_stay_float(option, kind):
    thresholds = clipping_thresholds(quantize_model(sequential(), QuantSpec(bit=4, **{option: 32})))
    other = {"weight": "act", "act": "weight"}[kind]
    assert [list(kinds) for kinds in thresholds.values()] == [[other]] * 3


def with_pixels(step=0.125):
    model = nn.Sequential()
    model.add_module("input", PixelInput(0, 1 / (255 * step)))
    for name, module in sequential().named_children():
        model.add_module(name, module)
    return model


def test_the_integers_of_the_input_go_to_the_first_layer_alone():
    quantized = quantize_model(with_pixels(), QuantSpec(bit=4))
    grids = [name for name, module in quantized.named_modules() if isinstance(module, InputCodes)]
    assert grids == ["0.act_quantizer"]
    codes = quantized.input(torch.arange(4, dtype=torch.uint8))
    assert codes.values.tolist() == [0, 1, 2, 3]
    assert codes.scale == pytest.approx(0.125, rel=1e-15)


@pytest.mark.parametrize(("edge_scale", "magnitude"), [("absmax", True), ("max", False)])
def test_edge_scale_reaches_the_first_and_last_layer(edge_scale, magnitude):
    quantized = quantize_model(sequential(), QuantSpec(bit=4, edge_scale=edge_scale))
    edges = [module for module in quantized.modules() if isinstance(module, MaxWeightQuantizer)]
    assert [edge.magnitude for edge in edges] == [magnitude] * 2
    assert ("scale=max|w|" in repr(quantized)) == magnitude


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 3, 3), nn.Linear(4, 5)])
def test_a_bare_layer_is_a_model(layer):
    quantized = quantize_model(layer, QuantSpec(bit=4))
    assert types(quantized) == {"": "Quant" + type(layer).__name__}
    assert isinstance(quantized.weight_quantizer, MaxWeightQuantizer)
    assert type(layer) in (nn.Conv2d, nn.Linear)
    back = dequantize_model(quantized)
    assert type(back) is type(layer)
    assert torch.equal(back.weight, layer.weight)


def test_two_layers_are_first_and_last():
    quantized = quantize_model(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), QuantSpec(bit=2))
    assert not clipping_thresholds(quantized)
    assert isinstance(quantized[1].act_quantizer, FloatPassthrough)


def test_shared_modules_stay_shared():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(nn.Linear(4, 4), shared, nn.ReLU(), shared, nn.Sequential(shared), nn.Linear(4, 2))
    quantized = quantize_model(model, QuantSpec(bit=4))
    assert quantized[1] is quantized[3]
    assert quantized[1] is quantized[4][0]
    assert types(quantized) == {"0": "QuantLinear", "1": "QuantLinear", "5": "QuantLinear"}
    back = dequantize_model(quantized)
    assert back[1] is back[3]
    assert back[1] is back[4][0]
    assert type(back[1]) is nn.Linear


def test_tied_weights_stay_tied_and_apart_from_the_original():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[2].weight = model[1].weight
    quantized = quantize_model(model, QuantSpec(bit=4))
    assert quantized[2].weight is quantized[1].weight
    assert quantized[2].weight is not model[2].weight
    assert quantized[2].weight_quantizer.raw_alpha is not quantized[1].weight_quantizer.raw_alpha
    back = dequantize_model(quantized)
    assert back[2].weight is back[1].weight


def test_subclasses_of_layers_are_left_alone():
    class Own(nn.Linear):
        pass

    quantized = quantize_model(nn.Sequential(nn.Linear(3, 3), Own(3, 3), nn.Conv3d(3, 3, 1)), QuantSpec(bit=4))
    assert types(quantized) == {"0": "QuantLinear"}
    assert type(quantized[1]) is Own


def test_torchvision_resnet18():
    model = torchvision.models.resnet18(num_classes=10)
    quantized = quantize_model(model, QuantSpec(bit=4))
    layers = dict(quant_layers(quantized))
    assert len(layers) == 21
    assert [name for name, layer in layers.items() if isinstance(layer.weight_quantizer, MaxWeightQuantizer)] == [
        "conv1",
        "fc",
    ]
    assert len(clipping_thresholds(quantized)) == 19
    out = quantized(images(channels=3, size=32))
    assert out.shape == (2, 10)
    assert out.isfinite().all()
    assert all(
        torch.equal(a, b) for a, b in zip(dequantize_model(quantized).parameters(), model.parameters(), strict=True)
    )


@pytest.mark.parametrize("model", [nn.Sequential(nn.ReLU()), nn.Identity(), nn.Conv3d(1, 1, 1)])
def test_a_model_without_layers_is_refused(model):
    with pytest.raises(ValueError, match="no Conv1d, Conv2d or Linear layer"):
        quantize_model(model, QuantSpec(bit=4))


@pytest.mark.parametrize("bit", [4, 32])
def test_a_quantised_model_is_refused(bit):
    quantized = quantize_model(sequential(), QuantSpec(bit=4))
    with pytest.raises(ValueError, match="quantised already"):
        quantize_model(quantized, QuantSpec(bit=bit))
    with pytest.raises(ValueError, match="quantised already"):
        quantize_model(nn.Sequential(nn.Linear(3, 3), quantized), QuantSpec(bit=bit))


def test_full_precision_is_the_float_model():
    model = sequential().eval()
    copied = quantize_model(model, QuantSpec(bit=32))
    assert torch.equal(copied(images()), model(images()))
    assert not types(copied)
    assert repr(copied) == repr(model)
    assert copied is not model
    assert copied[0].weight is not model[0].weight


@pytest.mark.parametrize("build", [sequential, Nested, lambda: ResNet("resnet10", width=4)])
def test_dequantised_models_compute_what_the_original_computed(build):
    model = build().eval()
    x = images(size=8)
    quantized = quantize_model(model, QuantSpec(bit=3))
    back = dequantize_model(quantized)
    assert not torch.allclose(quantized(x), model(x))  # quantisation does something
    assert torch.equal(back(x), model(x))
    assert repr(back) == repr(model)
    assert list(back.state_dict()) == list(model.state_dict())
    assert types(quantized)  # dequantize_model returned a copy
    with torch.no_grad():
        next(back.parameters()).zero_()
    assert next(quantized.parameters()).any()


def test_the_original_and_the_random_numbers_are_untouched():
    model = sequential()
    before, text = copy.deepcopy(model.state_dict()), repr(model)
    state = torch.get_rng_state()
    quantized = quantize_model(model, QuantSpec(bit=4))
    dequantize_model(quantized)
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(model) == text
    with torch.no_grad():
        for parameter in quantized.parameters():
            parameter.fill_(7)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_frozen_parameters_are_kept(training):
    model = sequential().train(training)
    model[2].weight.requires_grad_(False)
    quantized = quantize_model(model, QuantSpec(bit=4))
    assert all(module.training == training for module in quantized.modules())
    assert all(module.training == training for module in dequantize_model(quantized).modules())
    assert not quantized[2].weight.requires_grad
    assert quantized[2].weight_quantizer.raw_alpha.requires_grad


def test_state_dict_keys_are_those_of_the_float_model_and_the_thresholds():
    model = sequential()
    thresholds = {f"{index}.{kind}_quantizer.raw_alpha" for index in (2, 5, 8) for kind in ("weight", "act")}
    quantized = quantize_model(with_pixels(), QuantSpec(bit=4))
    assert set(quantized.state_dict()) == set(model.state_dict()) | thresholds
    quantized.load_state_dict(model.state_dict(), strict=False)
    other = quantize_model(with_pixels(), QuantSpec(bit=4))
    other.load_state_dict(quantized.state_dict())
    assert torch.equal(other.eval()(images()), quantized.eval()(images()))


def test_representation_names_bit_scheme_and_threshold():
    text = repr(quantize_model(sequential(), QuantSpec(bit=4, power=0, weight_alpha=2.5)))
    assert text.count("WeightQuantizer(bit=4, scheme=uniform, alpha=2.5)") == 3
    assert text.count("ActivationQuantizer(bit=4, scheme=uniform, alpha=6)") == 3
    assert text.count("MaxWeightQuantizer(bit=8, scheme=uniform") == 2


def test_clipping_thresholds_are_the_learned_positive_values():
    quantized = quantize_model(sequential(), QuantSpec(bit=4, weight_alpha=2.0, act_alpha=4.0))
    assert clipping_thresholds(quantized) == {name: {"weight": 2.0, "act": 4.0} for name in ("2", "5", "8")}
    with torch.no_grad():
        quantized[5].act_quantizer.raw_alpha.fill_(1.5)
        quantized[5].weight_quantizer.raw_alpha.fill_(-2.0)
    thresholds = clipping_thresholds(quantized)
    assert thresholds["5"]["act"] == 1.5
    assert 0 < thresholds["5"]["weight"] < 1e-3
    assert thresholds["2"] == {"weight": 2.0, "act": 4.0}
    assert clipping_thresholds(sequential()) == {}


@pytest.mark.parametrize(("power", "additive"), [(1, True), (1, False), (0, True)])
def test_copies_pickles_and_saved_models_compute_the_same(power, additive):
    quantized = quantize_model(sequential(), QuantSpec(bit=4, power=power, additive=additive)).eval()
    file = io.BytesIO()
    torch.save(quantized.state_dict(), file)
    file.seek(0)
    loaded = quantize_model(sequential(), QuantSpec(bit=4, power=power, additive=additive)).eval()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for twin in (copy.deepcopy(quantized), pickle.loads(pickle.dumps(quantized)), loaded):
        assert torch.equal(twin(images()), quantized(images()))
        assert twin[2].weight is not quantized[2].weight


def test_meta_device_and_back():
    quantized = quantize_model(sequential(), QuantSpec(bit=4)).to("meta")
    assert quantized(images().to("meta")).shape == (2, 3)
    assert all(tensor.is_meta for tensor in [*quantized.parameters(), *quantized.buffers()])


def test_quantising_on_the_meta_device_stays_there():
    with torch.device("meta"):
        model = sequential()
    quantized = quantize_model(model, QuantSpec(bit=4))
    assert all(parameter.is_meta for parameter in quantized.parameters())


@pytest.mark.parametrize("backend", ["eager", *slowly("inductor")])
@pytest.mark.parametrize(("power", "additive"), [(1, True), (1, False), (0, True)])
def test_compiled_models_compute_the_same(power, additive, backend):
    if backend == "inductor" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("needs a C++ compiler")
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    quantized = quantize_model(model, QuantSpec(bit=4, power=power, additive=additive))
    twin = copy.deepcopy(quantized)
    torch._dynamo.reset()
    compiled = torch.compile(twin, fullgraph=True, backend=backend)
    expected, found = quantized(images()), compiled(images())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    expected.square().sum().backward()
    found.square().sum().backward()
    for one, other in zip(quantized.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)
