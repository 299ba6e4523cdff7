"""Packed files: bit streams, round trips, their size, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import squeezenet1_1

from apot_lit.errors import UserError
from apot_lit.models import PixelInput, ResNet
from apot_lit.models.build import build_network
from apot_lit.quant import QuantSpec, level_set, quant_layers, quantize_model
from apot_lit.stored.packed import FORMAT, StoredCodes, load_packed, pack_bits, save_packed, unpack_bits
from tests.conftest import ROOT
from tests.test_imports import imports

DATA = {"mean": 33 / 255, "std": 0.3081}
CODES, LARGEST = ".weight_codes", ".weight_largest"


def configuration(name="resnet10", width=4, stem="reference", data=DATA, **quant):
    return {"model": {"name": name, "width": width, "stem": stem}, "quant": quant, "data": dict(data), "seed": 3}


def images(count=6, seed=1):
    return torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def trained(config, seed=0):
    """A network with thresholds, batch norms and biases as training leaves them: none at its initial value."""
    torch.manual_seed(seed)
    network = build_network(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("raw_alpha"):
                parameter.mul_(0.3 + torch.rand(()))
            elif parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        for seed in range(2):
            network(images(seed=seed))
    return network.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    config = configuration(bit=3)
    network = trained(config)
    path = tmp_path_factory.mktemp("packed") / "network.safetensors"
    save_packed(network, config, path)
    return network, config, path


def read(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata(), load_file(path)


def rewrite(path, target, tensors=(), drop=(), **metadata):
    """Writes a copy of a file with other tensors and metadata, and no checksum, as files had none once."""
    old_metadata, old_tensors = read(path)
    del old_metadata["checksum"]
    kept = {name: tensor for name, tensor in (old_tensors | dict(tensors)).items() if name not in drop}
    save_file(kept, target, {name: text for name, text in (old_metadata | metadata).items() if text is not None})
    return target


def assert_one_line(error, *parts):
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


# --- the bit stream


def brute_force(values, bit):
    stream = sum(int(value) << (bit * position) for position, value in enumerate(values))
    return list(stream.to_bytes(math.ceil(len(values) * bit / 8), "little"))


@pytest.mark.parametrize("bit", range(1, 9))
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 7, 8, 9, 31, 333])
def test_bit_stream_is_that_of_one_large_number(bit, count):
    values = np.random.default_rng(bit).integers(0, 2**bit, count).astype(np.uint8)
    packed = pack_bits(values, bit)
    assert packed.dtype == np.uint8
    assert packed.tolist() == brute_force(values, bit)
    assert unpack_bits(packed, bit, count).tolist() == values.tolist()


@settings(deadline=None)
@given(st.integers(1, 8).flatmap(lambda bit: st.tuples(st.just(bit), st.lists(st.integers(0, 2**bit - 1)))))
def test_any_values_come_back(case):
    bit, values = case
    packed = pack_bits(np.array(values, np.uint16), bit)
    assert packed.tolist() == brute_force(values, bit)
    assert unpack_bits(packed, bit, len(values)).tolist() == values


@pytest.mark.parametrize("values", [[0, 8], [-1, 0], [255], [256]])
def test_values_that_do_not_fit_are_refused(values):
    with pytest.raises(ValueError, match="do not fit 3 bits"):
        pack_bits(np.array(values), 3)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_streams_of_another_length_are_refused(size):
    with pytest.raises(ValueError, match=f"10 values of 3 bits take 4 bytes, not {size}"):
        unpack_bits(np.zeros(size, np.uint8), 3, 10)


# --- round trips


def assert_same_network(network, loaded, inputs):
    assert not any(module.training for module in loaded.modules())
    with torch.no_grad():
        for (name, layer), (other_name, other) in zip(quant_layers(network), quant_layers(loaded), strict=True):
            assert name == other_name
            codes, stored = layer.weight_quantizer(layer.weight), other.weight_quantizer(other.weight)
            assert torch.equal(codes.values, stored.values)
            assert codes.scale == stored.scale
            if codes.scale is not None:
                assert isinstance(other.weight_quantizer, StoredCodes)
                assert stored.values.dtype == torch.float32
                assert not torch.signbit(stored.values[stored.values == 0]).any()
            assert torch.equal(codes.fake_quantized(), other.weight)
        modules = network.named_modules(remove_duplicate=False)
        weights = {f"{name}.weight".lstrip(".") for name, module in modules if hasattr(module, "weight_quantizer")}
        state = loaded.state_dict()
        for name, value in network.state_dict().items():
            if name not in weights and not name.endswith("weight_quantizer.raw_alpha"):
                assert torch.equal(value, state[name])
        logits = network(inputs)
        assert logits.std() > 0
        assert torch.equal(logits, loaded(inputs))


@pytest.mark.parametrize("stem", ["reference", "small"])
@pytest.mark.parametrize("power", [1, 0])
@pytest.mark.parametrize("bit", [2, 3, 4, 5])
@pytest.mark.parametrize("width", [4, 16])
def test_logits_come_back_bit_for_bit(tmp_path, width, bit, power, stem):
    config = configuration(width=width, stem=stem, bit=bit, power=power)
    network = trained(config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    save_packed(network, config, tmp_path / "x.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert_same_network(network, load_packed(tmp_path / "x.safetensors"), images(seed=9))


@pytest.mark.parametrize(
    "quant",
    [
        {"bit": 8},
        {"bit": 8, "additive": False},
        {"bit": 6, "power": 0, "weight_norm": False},
        {"bit": 4, "additive": False},
        {"bit": 4, "first_bit": 2, "last_bit": 5},
        {"bit": 4, "weight_bit": 32},
        {"bit": 4, "act_bit": 32, "first_bit": 32},
        {"bit": 3, "weight_bit": 7, "last_bit": 32},
    ],
    ids=str,
)
def test_every_kind_of_layer_comes_back(tmp_path, quant):
    config = configuration(**quant)
    network = trained(config)
    save_packed(network, config, tmp_path / "x.safetensors")
    assert_same_network(network, load_packed(tmp_path / "x.safetensors"), images(seed=9))


@pytest.mark.parametrize("data", [{"mean": 0.1307, "std": 0.3081}, {"mean": 0, "std": 1}, {"mean": 0.2, "std": 1 / 3}])
def test_the_first_layer_reads_pixels_as_in_training(tmp_path, data):
    config = configuration(bit=3, data=data)
    network = trained(config)
    save_packed(network, config, tmp_path / "x.safetensors")
    loaded = load_packed(tmp_path / "x.safetensors")
    assert loaded.input.step == PixelInput(**data).step
    assert_same_network(network, loaded, images(seed=9))


def test_thresholds_below_the_smallest_come_back_raw(tmp_path):
    config = configuration(bit=4)
    network = trained(config)
    for raw in (-0.02, 3e-4):
        network.layer1[0].conv2.weight_quantizer.raw_alpha.data.fill_(raw)
        save_packed(network, config, tmp_path / "x.safetensors")
        _, tensors = read(tmp_path / "x.safetensors")
        assert tensors["layer1.0.conv2.weight_quantizer.raw_alpha"] == torch.tensor(raw)
        assert_same_network(network, load_packed(tmp_path / "x.safetensors"), images(seed=9))


def test_first_layer_of_zeros(tmp_path):
    config = configuration(bit=4)
    network = trained(config)
    network.conv1.weight.data.zero_()
    save_packed(network, config, tmp_path / "x.safetensors")
    loaded = load_packed(tmp_path / "x.safetensors")
    assert loaded.conv1.weight_quantizer.scale == 1
    assert_same_network(network, loaded, images(seed=9))


def test_memory_format_does_not_matter(tmp_path, saved):
    network, config, path = saved
    save_packed(network.to(memory_format=torch.channels_last), config, tmp_path / "x.safetensors")
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
    save_packed(network, config, tmp_path / "x.safetensors")
    assert_same_network(network, load_packed(tmp_path / "x.safetensors"), images(seed=9))
    network.fc.weight.data[3, 2] = -1.5 * network.fc.weight.max()
    with pytest.raises(ValueError, match=r"^fc: its codes, -19[01] to 127, do not fit 8 bits, -128 to 127$"):
        save_packed(network, config, tmp_path / "y.safetensors")
    assert not (tmp_path / "y.safetensors").exists()


def test_networks_of_other_makers_are_filled(tmp_path):
    torch.manual_seed(0)
    network = quantize_model(squeezenet1_1(num_classes=7), QuantSpec(bit=3)).eval()
    save_packed(network, {"any": ["plain", 1, None]}, tmp_path / "x.safetensors")
    skeleton = quantize_model(squeezenet1_1(num_classes=7), QuantSpec(bit=3))
    before = {name: value.clone() for name, value in skeleton.state_dict().items()}
    loaded = load_packed(tmp_path / "x.safetensors", network=skeleton)
    assert_same_network(network, loaded, torch.randn(2, 3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in skeleton.state_dict().items())
    with pytest.raises(UserError) as error:
        load_packed(tmp_path / "x.safetensors")
    assert_one_line(error, "x.safetensors: its configuration describes no network (KeyError: 'data')")


def test_shared_layers_and_a_bare_layer(tmp_path):
    torch.manual_seed(0)
    shared = nn.Linear(5, 5)
    float_network = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(5, 5))
    for original in (float_network, nn.Linear(5, 5)):
        network = quantize_model(original, QuantSpec(bit=4)).eval()
        save_packed(network, {}, tmp_path / "x.safetensors")
        loaded = load_packed(tmp_path / "x.safetensors", network)
        assert_same_network(network, loaded, torch.randn(9, 5))


def test_random_numbers_are_left_as_they_are(saved):
    state = torch.get_rng_state()
    load_packed(saved[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_repr_tells_bit_and_scheme(saved):
    loaded = load_packed(saved[2])
    assert repr(loaded.layer1[0].conv1.weight_quantizer) == "StoredCodes(bit=3, scheme=apot)"
    assert repr(loaded.fc.weight_quantizer) == "StoredCodes(bit=8, scheme=uniform)"
    assert not loaded.fc.weight.requires_grad


# --- the file


def test_the_format_is_the_documented_one(saved):
    """Decodes a layer of each kind from the file and the documentation alone."""
    network, config, path = saved
    metadata, tensors = read(path)
    assert metadata["format"] == FORMAT
    assert metadata["version"] == "1"
    assert json.loads(metadata["config"]) == config
    kinds = json.loads(metadata["layers"])
    name = "layer2.0.conv1"
    assert kinds[name]["weight"] == "WeightQuantizer(bit=3, scheme=apot)"
    shape = kinds[name]["shape"]
    stream = int.from_bytes(tensors[name + CODES].numpy().tobytes(), "little")
    magnitudes = level_set("apot", 2).codes
    codes = []
    for position in range(math.prod(shape)):
        pattern = stream >> (3 * position) & 7
        codes.append(magnitudes[pattern & 3] * (-1 if pattern & 4 else 1))
    layer = network.layer2[0].conv1
    assert torch.equal(torch.tensor(codes).float().view(shape), layer.weight_quantizer(layer.weight).values)
    assert tensors["fc" + CODES].dtype == torch.int8
    assert torch.equal(tensors["fc" + CODES].float(), network.fc.weight_quantizer(network.fc.weight).values)
    assert float(tensors["fc" + LARGEST]) / 127 == network.fc.weight_quantizer(network.fc.weight).scale


def expected_bytes(network, bit):
    """Bytes of all tensors, from the shapes of the network's layers alone."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    counts = [layer.weight.numel() for layer in layers]
    total = counts[0] + 4 + counts[-1] + 4 + 4 * layers[-1].bias.numel()  # codes of 8 bits, largest weights, biases
    total += sum(math.ceil(count * bit / 8) + 4 + 4 for count in counts[1:-1])  # codes and both thresholds
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return total + sum(4 * 4 * norm.num_features + 8 for norm in norms)


@pytest.mark.parametrize("bit", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("stem", ["reference", "small"])
@pytest.mark.parametrize("width", [3, 4])
def test_file_size(tmp_path, bit, stem, width):
    config = configuration("resnet14", width=width, stem=stem, bit=bit)
    network = trained(config)
    path = tmp_path / "x.safetensors"
    save_packed(network, config, path)
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size == header + expected_bytes(network, bit)


def test_a_packed_resnet18_of_3_bits_is_an_eighth_of_its_float_state(tmp_path):
    config = configuration("resnet18", width=16, bit=3)
    path = tmp_path / "x.safetensors"
    save_packed(trained(config), config, path)
    state = sum(value.nbytes for value in ResNet("resnet18", width=16).state_dict().values())
    assert path.stat().st_size <= 0.13 * state


@pytest.mark.parametrize("name", ["conv1", "layer1.0.conv1", "layer4.0.downsample.0", "fc"])
def test_every_bit_counts(tmp_path, saved, name):
    network, _, path = saved
    packed = read(path)[1][name + CODES]
    layer = dict(quant_layers(network))[name]
    codes = layer.weight_quantizer(layer.weight).values.flatten()
    bit = layer.weight_quantizer.bit
    for place in (0, 8, 13, packed.numel() * 8 - 8):
        flipped = packed.clone()
        flipped.view(-1).view(torch.uint8)[place // 8] ^= 1 << place % 8
        loaded = dict(quant_layers(load_packed(rewrite(path, tmp_path / "x", {name + CODES: flipped}))))[name]
        changed = (loaded.weight_quantizer(None).values.flatten() != codes).nonzero().flatten().tolist()
        of_a_zero = bit < 8 and place % bit == bit - 1 and codes[place // bit] == 0  # its sign has no effect
        assert changed == ([] if of_a_zero else [place // bit])


# --- what is refused


@pytest.mark.parametrize("quant", [{"bit": 32}, {"bit": 4, "weight_bit": 32, "first_bit": 32, "last_bit": 32}], ids=str)
def test_nothing_to_pack(tmp_path, quant):
    config = configuration(**quant)
    with pytest.raises(UserError) as error:
        save_packed(trained(config), config, tmp_path / "x.safetensors")
    assert_one_line(error, "nothing to pack")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_loaded_network_and_broken_weights_are_not_packed(tmp_path, saved):
    _, config, path = saved
    with pytest.raises(ValueError, match=r"^conv1: its StoredCodes has no levels to pack weights by$"):
        save_packed(load_packed(path), config, tmp_path / "x.safetensors")
    network = trained(config)
    network.layer3[0].conv2.weight.data[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"^layer3\.0\.conv2: its codes, nan to nan, do not fit 3 bits, -4 to 4$"):
        save_packed(network, config, tmp_path / "x.safetensors")


def test_files_that_are_none(tmp_path, saved):
    path = saved[2]
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
        with pytest.raises(UserError) as error:
            load_packed(tmp_path / name)
        assert_one_line(error, str(tmp_path / name), part)


@pytest.mark.parametrize(
    ("metadata", "part"),
    [
        ({"format": "pt"}, "is of format pt, version 1, not apot_lit.packed, version 1"),
        ({"format": None}, "is of format None"),
        ({"version": "2"}, "version 2, not apot_lit.packed, version 1"),
        ({"config": None}, "KeyError: 'config'"),
        ({"config": "{"}, "JSONDecodeError"),
        ({"config": "[]"}, "its configuration describes no network"),
        ({"config": "{}"}, "KeyError: 'data'"),
        ({"layers": "3"}, "its configuration describes no network"),
        ({"layers": "{}"}, "conv1 is missing in the file"),
        ({"config": json.dumps(configuration("resnet9", bit=3))}, "name=resnet9: must be one of"),
        ({"config": json.dumps(configuration(bit=9))}, "bit=9: must be one of"),
        ({"config": json.dumps(configuration(bit=3, bits=3))}, "bits"),
        (
            {"config": json.dumps(configuration(bit=3, data={"mean": 0, "std": 0}))},
            "std=0: must be a number from 0.001",
        ),
        (
            {"config": json.dumps(configuration(bit=3, data={"mean": "0", "std": 1}))},
            "mean=0: must be a number from 0 to 1",
        ),
        ({"config": json.dumps(configuration(bit=3, data={"mean": 0, "std": 1}))}, "conv1 is {"),
        ({"config": json.dumps(configuration(bit=32))}, "conv1.weight is missing in the file"),
        ({"config": json.dumps(configuration(bit=3, power=0))}, "layer1.0.conv1 is {"),
        ({"config": json.dumps(configuration(bit=3, width=8))}, "conv1 is {'shape': [4, 1, 7, 7]"),
    ],
)
def test_other_metadata(tmp_path, saved, metadata, part):
    with pytest.raises(UserError) as error:
        load_packed(rewrite(saved[2], tmp_path / "x.safetensors", **metadata))
    assert_one_line(error, str(tmp_path / "x.safetensors"), part)


@pytest.mark.parametrize(
    ("tensors", "drop", "part"),
    [
        ({}, ["bn1.running_mean"], "bn1.running_mean is missing in the file and torch.float32 [4] here"),
        ({}, ["fc" + LARGEST], "fc.weight_largest is missing in the file"),
        ({"more": torch.zeros(2)}, [], "more is torch.float32 [2] in the file and missing here"),
        ({"fc.weight": torch.zeros(10, 32)}, [], "fc.weight is torch.float32 [10, 32] in the file and missing here"),
        ({"bn1.weight": torch.zeros(5)}, [], "bn1.weight is torch.float32 [5] in the file and torch.float32 [4] here"),
        ({"bn1.weight": torch.zeros(4).half()}, [], "bn1.weight is torch.float16 [4]"),
        ({"fc" + CODES: torch.zeros(10, 32).byte()}, [], "fc.weight_codes is torch.uint8 [10, 32]"),
        ({"layer1.0.conv1" + CODES: torch.zeros(53).byte()}, [], "layer1.0.conv1.weight_codes is torch.uint8 [53]"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, saved, tensors, drop, part):
    with pytest.raises(UserError) as error:
        load_packed(rewrite(saved[2], tmp_path / "x.safetensors", tensors, drop))
    assert_one_line(error, str(tmp_path / "x.safetensors"), part)


@pytest.mark.parametrize(
    ("skeleton", "part"),
    [
        (lambda: ResNet("resnet10", width=4), "conv1.weight is missing in the file"),
        (lambda: quantize_model(ResNet("resnet10", width=4), QuantSpec(bit=3)), "'step': None} here"),
        (lambda: trained(configuration("resnet14", bit=3)), "layer1.1.conv1"),
        (lambda: trained(configuration(bit=3, act_bit=4)), "layer1.0.conv1 is {"),
    ],
)
def test_networks_to_fill_that_do_not_fit(saved, skeleton, part):
    with pytest.raises(UserError) as error:
        load_packed(saved[2], skeleton())
    assert_one_line(error, "does not fit the network", part)


def test_the_module_needs_neither_lightning_nor_hydra():
    """Follows the imports through the whole package, with those of the packages that each module lies in."""
    seen, left = set(), ["apot_lit.stored.packed"]
    while left:
        name = left.pop()
        file = ROOT / name.replace(".", "/")
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        if name and name not in seen:
            seen.add(name)
            left += [name.rpartition(".")[0], *(imports(file) if name.startswith("apot_lit") else [])]
    assert "apot_lit.quant.cpu.native" in seen
    assert not {"pytorch_lightning", "hydra", "omegaconf", "apot_lit.data"} & seen
