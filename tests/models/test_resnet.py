import math

import pytest
import torch
from torch import nn

from apot_lit.models import ARCHITECTURES, ResNet
from apot_lit.quant import QuantSpec, dequantize_model, quantize_model
from apot_lit.quant.absorb import AbsorbedReLU
from tests.quant.exact import gaussian

DEPTHS = {  # expansion of the last convolution of a block, blocks per stage
    "resnet10": (1, (1, 1, 1, 1)),
    "resnet14": (1, (2, 1, 1, 2)),
    "resnet18": (1, (2, 2, 2, 2)),
    "resnet34": (1, (3, 4, 6, 3)),
    "resnet50": (4, (3, 4, 6, 3)),
    "resnet101": (4, (3, 4, 23, 3)),
    "resnet152": (4, (3, 8, 36, 3)),
}
SCHEMES = {"apot": {"power": 1}, "uniform": {"power": 0}, "pot": {"power": 1, "additive": False}}
BITS = range(2, 9)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def expected_count(expansion, depths, width=16, stem=49, classes=10):
    """Convolutions, two numbers per normalised channel, the linear layer: counted from the description of the net."""
    total, channels = stem * width + 2 * width, width
    for stage, depth in enumerate(depths):
        planes = width * 2**stage
        for block in range(depth):
            out = planes * expansion
            if expansion == 1:
                total += 9 * channels * planes + 9 * planes * planes + 4 * planes
            else:
                total += channels * planes + 9 * planes * planes + planes * out + 4 * planes + 2 * out
            if block == 0 and (stage > 0 or channels != out):
                total += channels * out + 2 * out
            channels = out
    return total + channels * classes + classes


def test_all_architectures_are_known():
    assert set(ARCHITECTURES) == set(DEPTHS)


@pytest.mark.parametrize("name", DEPTHS)
def test_parameters(name):
    assert count(ResNet(name)) == expected_count(*DEPTHS[name])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet10", 309_200), ("resnet18", 701_856), ("resnet34", 1_335_040), ("resnet50", 1_484_642)],
)
def test_parameters_with_thresholds_at_five_bits(name, parameters):
    assert count(quantize_model(ResNet(name), QuantSpec(bit=5))) == parameters


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, (14, 7, 7, 4, 2, 1)),
        ({"stem": "small"}, (28, 28, 28, 14, 7, 4)),
        ({"stem": "strided"}, (14, 14, 14, 7, 4, 2)),
    ],
)
@pytest.mark.parametrize("name", ["resnet14", "resnet50"])
def test_shapes_after_every_stage(name, options, sizes):
    model = ResNet(name, width=4, **options).eval()
    expansion, _ = DEPTHS[name]
    shapes = {}
    stages = ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
    for stage in stages:
        getattr(model, stage).register_forward_hook(lambda _, __, out, stage=stage: shapes.update({stage: out.shape}))
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    channels = (4, 4, *(4 * expansion * 2**stage for stage in range(4)), 32 * expansion)
    expected = [(3, depth, size, size) for depth, size in zip(channels, (*sizes, 1), strict=True)]
    assert [shapes[stage] for stage in stages] == expected


def test_options():
    assert count(ResNet("resnet10", stem="small")) == count(ResNet("resnet10")) - (49 - 9) * 16
    assert count(ResNet("resnet10", stem="strided")) == count(ResNet("resnet10")) - (49 - 25) * 16
    assert count(ResNet("resnet18", width=5)) == expected_count(*DEPTHS["resnet18"], width=5)
    assert ResNet("resnet10", width=1, num_classes=3)(torch.zeros(2, 1, 28, 28)).shape == (2, 3)
    assert ResNet("resnet10", width=2).eval()(torch.zeros(1, 1, 40, 33)).shape == (1, 10)


def batch_norm(prefix):
    return {f"{prefix}.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


@pytest.mark.parametrize("name", ["resnet10", "resnet14", "resnet50"])
def test_state_dict_names_are_those_of_the_reference(name):
    expansion, depths = DEPTHS[name]
    expected = {"conv1.weight", *batch_norm("bn1"), "fc.weight", "fc.bias"}
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            prefix = f"layer{stage}.{block}"
            for index in range(1, 3 if expansion == 1 else 4):
                expected |= {f"{prefix}.conv{index}.weight", *batch_norm(f"{prefix}.bn{index}")}
            if block == 0 and (stage > 1 or expansion > 1):
                expected |= {f"{prefix}.downsample.0.weight", *batch_norm(f"{prefix}.downsample.1")}
    state = ResNet(name).state_dict()
    assert set(state) == expected
    assert state["layer2.0.downsample.0.weight"].shape == (32 * expansion, 16 * expansion, 1, 1)


@pytest.mark.parametrize("name", ["resnet10", "resnet50"])
def test_strides(name):
    model = ResNet(name)
    strides = {key: m.stride[0] for key, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.stride != (1, 1)}
    strided = "conv1" if name == "resnet10" else "conv2"  # of a bottleneck: on the 3x3 convolution
    expected = {f"layer{stage}.0.{conv}": 2 for stage in (2, 3, 4) for conv in (strided, "downsample.0")}
    assert strides == {"conv1": 2, **expected}
    assert not any(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))


def test_convolutions_start_kaiming_normal_by_fan_out():
    torch.manual_seed(0)
    model = ResNet("resnet18")
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            size, std = module.weight.numel(), math.sqrt(2 / fan_out)
            assert abs(module.weight.std() / std - 1) < 4 / math.sqrt(2 * size), name
            assert abs(module.weight.mean()) < 4 * std / math.sqrt(size), name
            assert abs((module.weight / std).pow(4).mean() - 3) < 4 * math.sqrt(96 / size), name  # normal, not uniform
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


@pytest.mark.parametrize(
    ("name", "chosen", "gamma"),
    [("resnet10", None, 1), ("resnet10", 0.3, 0.3), ("resnet50", None, 0.1), ("resnet50", 1, 1), ("resnet50", 0, 0)],
)
def test_blocks_start_with_their_residual_times_gamma(name, chosen, gamma):
    model = ResNet(name, width=4, residual_gamma=chosen).eval()
    last = "bn2" if name == "resnet10" else "bn3"
    blocks = [block for stage in (model.layer1, model.layer2, model.layer3, model.layer4) for block in stage]
    assert len(blocks) == sum(DEPTHS[name][1])
    x = gaussian(4 * 784, seed=2).view(1, 4, 28, 28).abs()
    for block in blocks:
        residuals = []
        hook = getattr(block, last).register_forward_hook(
            lambda _m, _i, output, to=residuals: to.append(output.clone())
        )
        block(x)
        nn.init.ones_(getattr(block, last).weight)
        x = block(x)
        hook.remove()
        torch.testing.assert_close(residuals[0], gamma * residuals[1])
        assert residuals[1].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet20"}, f"name=resnet20: must be one of {', '.join(DEPTHS)}"),
        ({"name": ""}, f"name=: must be one of {', '.join(DEPTHS)}"),
        ({"name": "resnet10", "stem": "large"}, "stem=large: must be one of reference, small, strided"),
        ({"name": "resnet10", "width": 0}, "width=0: must be an integer from 1 to 512"),
        ({"name": "resnet10", "residual_gamma": 1.1}, "residual_gamma=1.1: must be null or a number from 0 to 1"),
    ],
)
def test_wrong_arguments_are_refused_with_one_line(options, message):
    with pytest.raises(ValueError, match="must be") as error:
        ResNet(**options)
    assert str(error.value) == message


def check_gradients(name, bit, scheme, width=16):
    torch.manual_seed(1)
    model = quantize_model(ResNet(name, width=width), QuantSpec(bit=bit, **SCHEMES[scheme]))
    logits = model(gaussian(4, 1, 28, 28, seed=bit).abs())
    assert logits.isfinite().all()
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    wrong = [
        key
        for key, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    assert not wrong


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_parameter_of_resnet10_gets_a_gradient(bit, scheme):
    check_gradients("resnet10", bit, scheme)


@pytest.mark.parametrize(
    ("name", "bit", "scheme"),
    [
        ("resnet14", 5, "apot"),
        ("resnet14", 2, "uniform"),
        ("resnet18", 4, "apot"),
        ("resnet18", 3, "pot"),
        ("resnet34", 4, "uniform"),
        ("resnet50", 5, "apot"),
        ("resnet50", 2, "apot"),
        ("resnet101", 3, "apot"),
        ("resnet152", 5, "uniform"),
    ],
)
def test_every_parameter_of_the_other_models_gets_a_gradient(name, bit, scheme):
    check_gradients(name, bit, scheme, width=4)


@pytest.mark.slow
@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", DEPTHS)
def test_every_parameter_gets_a_gradient(name, bit, scheme):
    check_gradients(name, bit, scheme)


@pytest.mark.parametrize(("name", "absorbed"), [("resnet10", 4 + 3), ("resnet50", 32 + 3)])
def test_blocks_lose_only_the_relus_that_quantisation_makes_superfluous(name, absorbed):
    """Those within blocks, and the three that a strided convolution and a strided shortcut read."""
    torch.manual_seed(0)
    network = ResNet(name, width=4)
    with_relus = quantize_model(network, QuantSpec(bit=3))
    quantized = quantize_model(network, QuantSpec(bit=3))
    relus = [relu for relu, module in with_relus.named_modules() if isinstance(module, AbsorbedReLU)]
    assert len(relus) == absorbed
    for relu in relus:
        with_relus.set_submodule(relu, nn.ReLU())
    images = gaussian(4 * 784, seed=1).view(4, 1, 28, 28)
    outputs = []
    for model in (quantized, with_relus):
        output = model(images)
        output.square().sum().backward()
        outputs.append(output)
    assert torch.equal(*outputs)
    for one, other in zip(quantized.parameters(), with_relus.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    for model in (dequantize_model(quantized), quantize_model(network, QuantSpec(bit=4, act_bit=32))):
        assert all(isinstance(model.get_submodule(relu), nn.ReLU) for relu in relus)
