"""Networks of other makers: built by name, seen before they are quantised, refused in one line."""

import sys
from types import ModuleType

import pytest
import torch
import torchvision
from torch import nn

from apot_lit.errors import UserError
from apot_lit.models.build import build_network, with_inputs
from apot_lit.models.foreign import image_options
from apot_lit.quant import dequantize_model, quant_layers
from apot_lit.quant.quantizers import FloatPassthrough, InputCodes
from tests.conftest import slowly


def configuration(name, library="torchvision", bit=4, data=None, **model):
    data = {"mean": 33 / 255, "std": 0.3081, **(data or {})}
    return {"model": {"library": library, "name": name, "enlarge": None, **model}, "quant": {"bit": bit}, "data": data}


def pixels(count=4, channels=1, size=28):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=generator)


class Plain(nn.Module):
    """Reads what it is given by its first convolution alone."""

    def __init__(self, channels: int = 1, classes: int = 10, between: str = "Hardswish") -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 4, 3, stride=2)
        self.act = getattr(nn, between)()
        self.second = nn.Conv2d(4, 6, 3, stride=2)
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        return self.head(self.second(self.act(self.first(x))).relu().mean((2, 3)))


class Looks(Plain):
    """Looks at the images besides."""

    def forward(self, x):
        return super().forward(x) + x.mean()


class Wrong(Plain):
    def __init__(self) -> None:
        super().__init__()
        raise OSError("no\nluck")


def made(classes: int = 10) -> nn.Module:
    return Plain(classes=classes)


def unsaid(classes=10):
    return Plain(classes=classes)


def none() -> nn.Linear:
    return None


NAME = "networks_of_a_test"


@pytest.fixture(autouse=True)
def module(monkeypatch):
    own = ModuleType(NAME)
    for one in (Plain, Looks, Wrong, made, unsaid, none):
        setattr(own, one.__name__, one)
    monkeypatch.setitem(sys.modules, NAME, own)


def own(target, **options):
    return configuration(target, "custom", _target_=f"{NAME}.{target}", **options)


def test_the_first_layer_reads_the_pixels_integers_where_nothing_else_does():
    config = with_inputs(own("Plain"), pixels())
    assert config["inputs"] == {"signed": ["net.first", "net.second"], "idle": [], "integers": True}
    layers = dict(quant_layers(build_network(config)))
    assert isinstance(layers["net.first"].act_quantizer, InputCodes)
    assert layers["net.second"].act_quantizer.signed


@pytest.mark.parametrize(("target", "more"), [("Looks", {}), ("Plain", {"enlarge": 40})])
def test_otherwise_it_reads_floats(target, more):
    config = with_inputs(own(target, **more), pixels())
    assert not config["inputs"]["integers"]
    network = build_network(config)
    assert isinstance(dict(quant_layers(network))["net.first"].act_quantizer, FloatPassthrough)
    assert network.eval()(pixels()).shape == (4, 10)


def test_images_are_enlarged_as_torch_does():
    torch.manual_seed(0)
    network = build_network({**own("Plain", enlarge=40, bit=32)}).eval()
    normalised = (pixels().float() / 255 - 33 / 255) / 0.3081
    expected = network.net(nn.functional.interpolate(normalised, (40, 40), mode="bilinear"))
    assert torch.allclose(network(pixels()), expected, atol=1e-5)


def test_a_network_is_built_again_without_images():
    config = with_inputs(own("Plain"), pixels())
    torch.manual_seed(0)
    network = build_network(config).eval()
    with torch.device("meta"):
        again = build_network(config).eval()
    assert again.state_dict().keys() == network.state_dict().keys()
    torch.manual_seed(0)
    assert torch.equal(build_network(config).eval()(pixels()), network(pixels()))
    assert with_inputs(config, pixels()) == config
    state = torch.get_rng_state()
    with_inputs(own("Plain"), pixels())
    assert torch.equal(torch.get_rng_state(), state)


def test_arguments_stand_beside():
    network = build_network(own("Plain", between="ReLU", classes=10))
    assert type(network.net.act).__name__ == "AbsorbedReLU"
    assert build_network(own("made", classes=10)).net.head.out_features == 10


def test_networks_of_torchvision_get_channels_and_classes():
    torch.manual_seed(0)
    config = configuration("resnet18", bit=32, data={"channels": 2, "size": 16, "classes": 7})
    network = build_network(config)
    assert network.net.conv1.weight.shape == (64, 2, 7, 7)
    assert network.net.fc.out_features == 7
    torch.manual_seed(0)
    original = torchvision.models.resnet18(num_classes=7)
    assert torch.equal(network.net.conv1.weight, original.conv1.weight[:, :2])
    assert network(pixels(channels=2, size=16)).shape == (4, 7)
    assert image_options({}) == (1, 28, 10)


def test_patterns_have_the_names_of_the_network():
    config = configuration("resnet18")
    config["quant"]["overrides"] = {"net.layer1.*": {"bit": 8}, "net.fc": {"act_bit": 6}}
    layers = dict(quant_layers(build_network(config)))
    assert layers["net.layer1.0.conv1"].weight_quantizer.bit == 8
    assert layers["net.fc"].act_quantizer.bit == 6
    config["quant"]["overrides"] = {"layer1.*": {"bit": 8}}
    with pytest.raises(UserError, match=r"quant\.overrides\.layer1\.\*: matches no layer; near it are net\.layer1"):
        build_network(config)


def test_float_networks_come_back():
    config = with_inputs(configuration("mobilenet_v3_small", bit=3), pixels())
    network = build_network(config)
    back = dequantize_model(network).eval()
    floats = build_network({**config, "quant": {"bit": 32}}).eval()
    floats.load_state_dict(back.state_dict())
    assert torch.equal(back(pixels()), floats(pixels()))


REFUSED = [
    (configuration("mobilnet_v2"), ["model.name=mobilnet_v2: torchvision has no such", "near it are mobilenet_v2"]),
    (configuration("fasterrcnn_resnet50_fpn"), ["torchvision has no such classifier"]),
    (configuration("resnet18", depht=3), ["model: cannot build resnet18", "depht"]),
    (configuration("resnet18", weights="DEFAULT"), ["model.weights=DEFAULT", "without trained weights"]),
    (
        configuration("ReLU", "custom", _target_="torch.nn.ReLU"),
        ["model._target_=torch.nn.ReLU: has no convolution or linear layer"],
    ),
    (
        configuration("x", "custom", _target_="os.system", command="true"),
        ["model._target_=os.system", "torch.nn.Module"],
    ),
    (configuration("x", "custom", _target_="nowhere.Net"), ["model._target_=nowhere.Net: cannot be imported"]),
    (configuration("x", "custom", _target_="torch.nn.Nothing"), ["torch.nn.Nothing: cannot be imported"]),
    (own("unsaid"), ["unsaid: must be a class of torch.nn.Module, or a function annotated"]),
    (own("none"), ["gives a NoneType, not a network"]),
    (
        own("Plain", classes=3),
        [f"model._target_={NAME}.Plain: gives [2, 3] for 2 images, must give [2, 10] (data.classes)"],
    ),
    (own("Plain", channels=3), [f"model._target_={NAME}.Plain: can't take images of 1x28x28", "3 channels"]),
    (own("Plain", depth=3), ["cannot build", "unexpected keyword argument 'depth'"]),
    (own("Wrong"), ["cannot build", "OSError: no luck"]),
    *slowly((configuration("vgg11"), ["model.name=vgg11: can't take images of 1x28x28", "too small", "model.enlarge"])),
]


@pytest.mark.parametrize(("config", "parts"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_does_not_fit_is_refused_in_one_line(config, parts):
    with pytest.raises(UserError) as error:
        build_network(config)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_timm(monkeypatch):
    pytest.importorskip("timm", reason="timm is not installed")
    network = build_network(configuration("mobilenetv3_small_050", "timm", data={"size": 32}))
    assert network.net.classifier.out_features == 10
    assert network.eval()(pixels(size=32)).shape == (4, 10)
    for name in ("mobilenetv3_smal_050", "hf-hub:timm/resnet18"):
        with pytest.raises(UserError, match="timm has no such classifier; near it are"):
            build_network(configuration(name, "timm"))


def test_without_timm_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr("apot_lit.models.libraries.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"model=timm: needs timm; install apot-lit\[timm\]"):
        build_network(configuration("resnet18", "timm"))


LOW = [
    ("resnet18", {}),
    ("mobilenet_v2", {}),
    ("densenet121", {"enlarge": 32}),
    ("vgg11", {"enlarge": 32}),
    ("vit_b_16", {"enlarge": 32, "image_size": 32}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), LOW, ids=[name for name, _ in LOW])
def test_a_step_of_training_at_low_bits(name, options):
    torch.manual_seed(0)
    config = with_inputs(configuration(name, bit=3, **options), pixels())
    network = build_network(config)
    assert not config["inputs"]["idle"]
    loss = nn.functional.cross_entropy(network(pixels()), torch.arange(4))
    loss.backward()
    assert loss.isfinite()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    before = {key: value.detach().clone() for key, value in network.named_parameters()}
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    assert any(not torch.equal(value, before[key]) for key, value in network.named_parameters())
