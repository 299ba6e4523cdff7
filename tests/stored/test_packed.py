"""Packed files: round trips in integers and in floats, their format and size, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import resnet18

from apot_lit.errors import UserError
from apot_lit.integer import Executor, to_integers
from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import QuantSpec, level_set, quant_layers, quantize_model
from apot_lit.runs.checksum import checksum
from apot_lit.stored.container import FORMAT
from apot_lit.stored.packed import load_packed, read_packed, require_same, save_packed
from tests.conftest import ROOT
from tests.stored.networks import both, configuration, images, trained
from tests.test_imports import imports

CODES, LARGEST, STD = ".weight_codes", ".weight_largest", ".weight_std"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    config = configuration(bit=3)
    network, integers = both(config)
    path = tmp_path_factory.mktemp("packed") / "network.safetensors"
    save_packed(network, integers, config, path)
    return network, integers, config, path


def read(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata(), load_file(path)


def rewrite(path, target, tensors=(), drop=(), **metadata):
    """Writes a copy of a file with other tensors and metadata, and the checksum of these."""
    old_metadata, old_tensors = read(path)
    del old_metadata["checksum"]
    kept = {name: tensor for name, tensor in (old_tensors | dict(tensors)).items() if name not in drop}
    texts = {name: text for name, text in (old_metadata | metadata).items() if text is not None}
    made = checksum([dict(sorted(texts.items())), dict(sorted(kept.items()))])
    save_file(kept, target, {"checksum": made, **texts})
    return target


def assert_one_line(error, *parts):
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


# --- round trips


def assert_same_network(network, loaded, inputs):
    """Codes, scales, all but latent weights, and logits are equal bit for bit."""
    assert not any(module.training for module in loaded.modules())
    weights = set()
    with torch.no_grad():
        for (name, layer), (other_name, other) in zip(quant_layers(network), quant_layers(loaded), strict=True):
            assert name == other_name
            assert type(layer.weight_quantizer) is type(other.weight_quantizer)
            codes, stored = layer.weight_quantizer(layer.weight), other.weight_quantizer(other.weight)
            assert torch.equal(codes.values, stored.values)
            assert codes.scale == stored.scale
            weights.add(f"{name}.weight")
        state = loaded.state_dict()
        assert state.keys() == network.state_dict().keys()
        for name, value in network.state_dict().items():
            if name not in weights:
                assert torch.equal(value, state[name])
        logits = network(inputs)
        assert logits.std() > 0
        assert torch.equal(logits, loaded(inputs))


def assert_same_integers(integers, executor, pixels):
    assert torch.equal(executor(pixels), Executor(integers)(pixels))
    found = executor.network
    assert (found.stream_bit, found.fraction, found.logit_scale, found.input_shape) == (
        integers.stream_bit,
        integers.fraction,
        integers.logit_scale,
        integers.input_shape,
    )
    for step, expected in zip(found.steps, integers.steps, strict=True):
        assert type(step) is type(expected)
        for key, value in vars(expected).items():
            if isinstance(value, np.ndarray):
                assert getattr(step, key).dtype == value.dtype
                assert np.array_equal(getattr(step, key), value)
            else:
                assert getattr(step, key) == value


KINDS = [{"bit": bit, "power": power} for bit in (2, 3, 4, 5) for power in (1, 0)] + [
    {"bit": 3, "additive": False},
    {"bit": 8, "power": 0},
    {"bit": 6, "power": 0, "weight_norm": False},
    {"bit": 2, "weight_norm": False},
    {"bit": 4, "first_bit": 2, "last_bit": 5},
    {"bit": 3, "weight_bit": 5, "act_bit": 4},
]


@pytest.mark.parametrize("quant", KINDS, ids=str)
@pytest.mark.parametrize("stem", ["reference", "small"])
def test_both_networks_come_back_bit_for_bit(tmp_path, quant, stem):
    config = configuration(stem=stem, **quant)
    network, integers = both(config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    path = tmp_path / "x.safetensors"
    save_packed(network, integers, config, path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    require_same(path, network, integers, config)
    packed = read_packed(path)
    assert_same_network(network, packed.network, images(seed=9))
    assert_same_integers(integers, load_packed(path), images(seed=9))
    assert_same_integers(integers, Executor(packed.integers), images(seed=9))


@pytest.mark.parametrize("data", [{"mean": 0.131, "std": 0.308}, {"mean": 0, "std": 1}, {"mean": 0.2, "std": 1 / 3}])
def test_the_first_layer_reads_pixels_as_in_training(tmp_path, data):
    config = configuration(bit=3, data=data)
    network, integers = both(config)
    save_packed(network, integers, config, tmp_path / "x.safetensors")
    packed = read_packed(tmp_path / "x.safetensors")
    assert packed.network.input.step == PixelInput(**data).step
    assert_same_network(network, packed.network, images(seed=9))
    assert_same_integers(integers, Executor(packed.integers), images(seed=9))


def test_a_training_goes_on_as_from_the_weights_themselves(tmp_path, saved):
    """The size of normalised weights decides how far a step of the optimizer turns them."""
    network, _, _, path = saved
    loaded = read_packed(path).network
    for (name, layer), (_, other) in zip(quant_layers(network), quant_layers(loaded), strict=True):
        if name not in ("conv1", "fc"):
            assert float(other.weight.detach().std()) == pytest.approx(float(layer.weight.detach().std()), rel=1e-5)
        correlation = np.corrcoef(layer.weight.detach().flatten(), other.weight.detach().flatten())[0, 1]
        assert correlation > 0.9
        assert other.weight.requires_grad
    loaded.train()(images()).square().sum().backward()
    assert all(float(layer.weight.grad.abs().sum()) > 0 for _, layer in quant_layers(loaded))


def test_thresholds_below_the_smallest_come_back_raw(tmp_path):
    config = configuration(bit=4)
    network = trained(config)
    for raw in (-0.02, 3e-4):
        network.layer1[0].conv2.weight_quantizer.raw_alpha.data.fill_(raw)
        save_packed(network, to_integers(network, images()), config, tmp_path / "x.safetensors")
        _, tensors = read(tmp_path / "x.safetensors")
        assert tensors["layer1.0.conv2.weight_quantizer.raw_alpha"] == torch.tensor(raw)
        assert_same_network(network, read_packed(tmp_path / "x.safetensors").network, images(seed=9))


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_layers_of_equal_weights(tmp_path, value):
    """Normalised they are zeros; a first layer of zeros has no largest weight."""
    config = configuration(bit=4)
    network = trained(config)
    network.layer1[0].conv1.weight.data.fill_(value)
    network.conv1.weight.data.fill_(value)
    save_packed(network, to_integers(network, images()), config, tmp_path / "x.safetensors")
    assert_same_network(network, read_packed(tmp_path / "x.safetensors").network, images(seed=9))


def test_memory_format_does_not_matter(tmp_path, saved):
    network, integers, config, path = saved
    save_packed(network.to(memory_format=torch.channels_last), integers, config, tmp_path / "x.safetensors")
    network.to(memory_format=torch.contiguous_format)
    expected, tensors = read(path)[1], read(tmp_path / "x.safetensors")[1]
    assert expected.keys() == tensors.keys()
    assert all(torch.equal(expected[name], tensors[name]) for name in expected)


def test_scale_by_the_largest_value(tmp_path):
    config = configuration(bit=4, edge_scale="max")
    network = trained(config)
    with torch.no_grad():
        for layer in (network.conv1, network.fc):
            layer.weight.clamp_(min=-layer.weight.max())  # now the codes fit
    save_packed(network, to_integers(network, images()), config, tmp_path / "x.safetensors")
    assert_same_network(network, read_packed(tmp_path / "x.safetensors").network, images(seed=9))


@pytest.mark.slow
def test_networks_of_other_makers(tmp_path):
    torch.manual_seed(0)
    float_network = nn.Sequential(PixelInput(0.5, 0.25), resnet18(num_classes=7))
    network = quantize_model(float_network, QuantSpec(bit=3)).eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    integers = to_integers(network, pixels)
    path = tmp_path / "x.safetensors"
    save_packed(network, integers, {"any": ["plain", 1, None]}, path)
    assert_same_integers(integers, load_packed(path), pixels)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loaded = read_packed(path, network=quantize_model(float_network, QuantSpec(bit=3)))
    assert loaded.config == {"any": ["plain", 1, None]}
    assert_same_network(network, loaded.network, pixels)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(UserError) as error:
        read_packed(path)
    assert_one_line(error, "x.safetensors: its configuration describes no network (KeyError: 'quant')")


def test_random_numbers_are_left_as_they_are(saved):
    state = torch.get_rng_state()
    read_packed(saved[-1])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("pixels", "part"),
    [
        (torch.rand(2, 1, 28, 28), "takes uint8 pixels [N, 1, 28, 28], not torch.float32 [2, 1, 28, 28]"),
        (images()[:, 0], "not torch.uint8 [6, 28, 28]"),
        (images()[:, :, :27], "not torch.uint8 [6, 1, 27, 28]"),
    ],
)
def test_anything_but_raw_pixels_is_refused(saved, pixels, part):
    with pytest.raises(UserError) as error:
        load_packed(saved[-1])(pixels)
    assert_one_line(error, part)


# --- the file


def test_the_format_is_the_documented_one(saved):
    """Decodes a layer of each kind from the file and the documentation alone."""
    network, integers, config, path = saved
    metadata, tensors = read(path)
    assert metadata["format"] == FORMAT
    assert metadata["version"] == "2"
    assert json.loads(metadata["config"]) == config
    kinds = json.loads(metadata["layers"])
    name = "layer2.0.conv1"
    assert kinds[name]["weight"] == {"bit": 3, "levels": "apot", "normalize": True}
    shape = kinds[name]["shape"]
    stream = int.from_bytes(tensors[name + CODES].numpy().tobytes(), "little")
    magnitudes = level_set("apot", 2).codes
    codes = []
    for position in range(math.prod(shape)):
        pattern = stream >> (3 * position) & 7
        codes.append(magnitudes[pattern & 3] * (-1 if pattern & 4 else 1))
    layer = network.layer2[0].conv1
    assert torch.equal(torch.tensor(codes).float().view(shape), layer.weight_quantizer(layer.weight).values)
    assert float(tensors[name + STD]) == pytest.approx(float(layer.weight.std()))
    assert tensors["fc" + CODES].dtype == torch.int8
    assert torch.equal(tensors["fc" + CODES].float(), network.fc.weight_quantizer(network.fc.weight).values)
    assert float(tensors["fc" + LARGEST]) / 127 == network.fc.weight_quantizer(network.fc.weight).scale
    assert tensors["integer/fc.bias"].tolist() == integers.steps[-1].bias.tolist()
    assert json.loads(metadata["network"])["steps"][-1] == {
        "kind": "head",
        "output": "fc",
        "inputs": ["flatten"],
        "layer": "fc",
    }


def test_nothing_of_the_machine_is_in_the_file(tmp_path, saved):
    network, integers, config, _ = saved
    data = {**config["data"], "data_dir": "/home/me/mnist", "download": True}
    run = {"paths": {"output_dir": "/home/me/run"}, "callbacks": {"a": {"dirpath": "/home/me"}}, "ckpt_path": "/home"}
    save_packed(network, integers, {**config, **run, "data": data}, tmp_path / "x.safetensors")
    assert b"/home" not in (tmp_path / "x.safetensors").read_bytes()
    assert read_packed(tmp_path / "x.safetensors").config == config


@pytest.mark.parametrize("bit", [2, 3, 4, 5, 7])
def test_weights_take_their_bits_once(tmp_path, bit):
    config = configuration("resnet14", width=3, bit=bit, power=0)
    network, integers = both(config)
    path = tmp_path / "x.safetensors"
    save_packed(network, integers, config, path)
    _, tensors = read(path)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    counts = [layer.weight.numel() for layer in layers]
    expected = counts[0] + counts[-1] + sum(math.ceil(count * bit / 8) for count in counts[1:-1])
    assert sum(tensor.nbytes for name, tensor in tensors.items() if name.endswith(CODES)) == expected
    assert not {f"{name}.weight" for name, _ in quant_layers(network)} & tensors.keys()
    assert not [name for name in tensors if name.startswith("integer/") and name.endswith("weight")]


def test_a_packed_resnet18_of_3_bits_is_an_eighth_of_its_float_state(tmp_path):
    config = configuration("resnet18", width=16, bit=3)
    path = tmp_path / "x.safetensors"
    save_packed(*both(config), config, path)
    state = sum(value.nbytes for value in ResNet("resnet18", width=16).state_dict().values())
    assert path.stat().st_size <= 0.125 * state


@pytest.mark.parametrize("name", ["conv1", "layer1.0.conv1", "layer4.0.downsample.0", "fc"])
def test_every_bit_of_the_weights_counts(tmp_path, saved, name):
    network, _, _, path = saved
    packed = read(path)[1][name + CODES]
    layer = dict(quant_layers(network))[name]
    codes = layer.weight_quantizer(layer.weight).values.flatten()
    bit = layer.weight_quantizer.bit
    for place in (0, 8, 13, packed.numel() * 8 - 8):
        flipped = packed.clone()
        flipped.view(-1).view(torch.uint8)[place // 8] ^= 1 << place % 8
        network_ = load_packed(rewrite(path, tmp_path / "x", {name + CODES: flipped})).network
        found = next(
            step.weight for step in network_.steps if getattr(step, "layer", "") == name and hasattr(step, "weight")
        )
        changed = (torch.from_numpy(found).flatten() != codes).nonzero().flatten().tolist()
        of_a_zero = bit < 8 and place % bit == bit - 1 and codes[place // bit] == 0  # its sign has no effect
        assert changed == ([] if of_a_zero else [place // bit])


# --- what is refused


def test_integers_of_another_network_are_not_packed(tmp_path, saved):
    network, integers, config, _ = saved
    with pytest.raises(UserError) as error:
        save_packed(trained(config, seed=1), integers, config, tmp_path / "x.safetensors")
    assert_one_line(error, "layer conv1: its weights are not those of the network in floats")
    network = trained(config)
    network.layer3[0].conv2.weight.data[0, 0, 0, 0] = math.nan
    with pytest.raises(UserError, match=r"^layer layer3\.0\.conv2: its codes, nan to nan, do not fit 3 bits, -4 to 4$"):
        save_packed(network, integers, config, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_files_that_are_none(tmp_path, saved):
    path = saved[-1]
    whole = path.read_bytes()
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("epoch,loss\n" * 100)
    (tmp_path / "cut").write_bytes(whole[:-1])
    (tmp_path / "longer").write_bytes(whole + b"\0")
    for name, part in {
        "missing": "there is no such file",
        ".": "is damaged or not a safetensors file",
        "empty": "is damaged or not a safetensors file",
        "text": "is damaged or not a safetensors file",
        "cut": "is damaged or not a safetensors file",
        "longer": "is damaged or not a safetensors file",
    }.items():
        for read_it in (load_packed, read_packed):
            with pytest.raises(UserError) as error:
                read_it(tmp_path / name)
            assert_one_line(error, str(tmp_path / name), part)


@pytest.mark.parametrize(
    ("metadata", "part"),
    [
        ({"format": "pt"}, "is of format pt, version 2, not apot_lit.packed, version 1 or 2"),
        ({"format": None}, "is of format None"),
        ({"version": "3"}, "version 3, not apot_lit.packed, version 1 or 2"),
        ({"config": None}, "lacks its config"),
        ({"config": "{"}, "its config is no JSON"),
        ({"config": "[" * 100_000}, "its config is no JSON"),
        ({"config": "[]"}, "config: must be a mapping"),
        ({"config": "{}"}, "its configuration describes no network (KeyError: 'quant')"),
        ({"layers": "3"}, "layers: must be a mapping"),
        ({"layers": "{}"}, "its network of integers can't be read (conv1.weight: is missing)"),
        ({"layers": '{"conv1": {"shape": [0], "weight": null}}'}, "layers.conv1.shape[0]=0: must be an integer"),
        ({"network": None}, "lacks its network"),
        ({"network": "{}"}, "its network of integers can't be read (input_shape: is missing)"),
        ({"config": json.dumps(configuration("resnet9", bit=3))}, "name=resnet9: must be one of"),
        ({"config": json.dumps(configuration(bit=9))}, "bit=9: must be one of"),
        ({"config": json.dumps(configuration(bit=3, bits=3))}, "bits"),
        ({"config": json.dumps(configuration(bit=3, data={"mean": 0, "std": 0}))}, "std=0: must be a number from"),
        ({"config": json.dumps(configuration(bit=3, data={"mean": "0", "std": 1}))}, "mean=0: must be a number from"),
        ({"config": json.dumps(configuration(bit=32))}, "conv1.weight is missing in the file"),
        ({"config": json.dumps(configuration(bit=3, power=0))}, "layer1.0.conv1 weight is {"),
        ({"config": json.dumps(configuration(bit=3, act_bit=4))}, "layer1.0.conv1 act is {"),
        (
            {"config": json.dumps(configuration("resnet152", bit=3, width=512))},
            "does not fit the network: conv1 shape is [4, 1, 7, 7] in the file",
        ),
    ],
)
def test_other_metadata(tmp_path, saved, metadata, part):
    with pytest.raises(UserError) as error:
        read_packed(rewrite(saved[-1], tmp_path / "x.safetensors", **metadata))
    assert_one_line(error, str(tmp_path / "x.safetensors"), part)


@pytest.mark.parametrize(
    ("tensors", "drop", "part"),
    [
        ({}, ["bn1.running_mean"], "bn1.running_mean is missing in the file and torch.float32 [4] here"),
        ({}, ["fc" + LARGEST], "fc.weight_largest is missing in the file"),
        ({}, ["layer1.0.conv1" + STD], "layer1.0.conv1.weight_std is missing in the file"),
        ({"more": torch.zeros(2)}, [], "more is torch.float32 [2] in the file and missing here"),
        ({"fc.weight": torch.zeros(10, 32)}, [], "fc.weight is torch.float32 [10, 32] in the file and missing here"),
        ({"bn1.weight": torch.zeros(5)}, [], "bn1.weight is torch.float32 [5] in the file and torch.float32 [4] here"),
        ({"bn1.weight": torch.zeros(4).half()}, [], "bn1.weight is torch.float16 [4]"),
        ({"fc" + CODES: torch.zeros(10, 32).byte()}, [], "fc.weight_codes is torch.uint8 [10, 32]"),
        ({"layer1.0.conv1" + CODES: torch.zeros(53).byte()}, [], "144 values of 3 bits take 54 bytes, not 53"),
        ({}, ["layer1.0.conv1" + CODES], "layer1.0.conv1.weight_codes"),
        ({}, ["integer/fc.bias"], "fc.bias: is missing"),
        ({"integer/fc.bias": torch.zeros(9).long()}, [], "fc: must have a bias for each class"),
        ({"integer/fc.bias": torch.zeros(10)}, [], "fc.bias: must be integers of at most 64 bits"),
        ({"integer/fc.scale": torch.zeros(10).long()}, [], "fc.scale: belongs to no step"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, saved, tensors, drop, part):
    with pytest.raises(UserError) as error:
        read_packed(rewrite(saved[-1], tmp_path / "x.safetensors", tensors, drop))
    assert_one_line(error, str(tmp_path / "x.safetensors"), part)


def test_codes_that_no_weights_have_are_refused(tmp_path, saved):
    """Weights of mean 0 can't all have the largest code, so no training left them; integers don't mind."""
    name = "layer1.0.conv1" + CODES
    stream = torch.full_like(read(saved[-1])[1][name], 0b11011011)
    path = rewrite(saved[-1], tmp_path / "x", {name: torch.tensor([0xDB, 0xB6, 0x6D], dtype=torch.uint8).repeat(18)})
    assert stream.shape == (54,)
    assert load_packed(path)(images()).shape == (6, 10)
    with pytest.raises(UserError) as error:
        read_packed(path)
    assert_one_line(error, f"{path}: layer layer1.0.conv1: no weights are quantised to its codes")


@pytest.mark.parametrize(
    ("skeleton", "part"),
    [
        (lambda: ResNet("resnet10", width=4), "conv1.weight is missing in the file"),
        (
            lambda: quantize_model(ResNet("resnet10", width=4), QuantSpec(bit=3)),
            "conv1 act is {'bit': 8, 'levels': None} in the file and None here",
        ),
        (lambda: trained(configuration("resnet14", bit=3)), "layer1.1.conv1"),
        (lambda: trained(configuration(bit=3, act_bit=4)), "layer1.0.conv1 act is {"),
    ],
)
def test_networks_to_fill_that_do_not_fit(saved, skeleton, part):
    with pytest.raises(UserError) as error:
        read_packed(saved[-1], skeleton())
    assert_one_line(error, "does not fit the network", part)


def test_the_module_needs_neither_lightning_nor_hydra_nor_mnist():
    """Follows the imports through the whole package, with those of the packages that each module lies in.

    The outermost one loads its names when they are used.
    """
    seen, left = set(), ["apot_lit.stored.packed"]
    while left:
        name = left.pop()
        file = ROOT / name.replace(".", "/")
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        if name not in ("", "apot_lit", *seen):
            seen.add(name)
            left += [name.rpartition(".")[0], *(imports(file) if name.startswith("apot_lit") else [])]
    assert "apot_lit.quant.cpu.native" in seen
    assert not {"pytorch_lightning", "hydra", "omegaconf", "apot_lit.data"} & seen
