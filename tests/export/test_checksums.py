"""Files that were changed after they were written are refused, or change nothing."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from apot_lit.errors import UserError
from apot_lit.export.packed import load_packed, save_packed
from apot_lit.models.build import build_network
from apot_lit.quant import quant_layers
from tests.export.conftest import PIXELS

CONFIG = {
    "model": {"name": "resnet10", "width": 2, "stem": "small"},
    "quant": {"bit": 3},
    "data": {"mean": PIXELS[0], "std": PIXELS[1]},
    "seed": 3,
}


def small_network():
    torch.manual_seed(0)
    return build_network(CONFIG).eval()


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "net.safetensors"
    save_packed(small_network(), CONFIG, path)
    return path


def state_of(network):
    """Everything that a packed network computes with."""
    codes = {name: layer.weight_quantizer(layer.weight) for name, layer in quant_layers(network)}
    state = {f"{name} codes": code.values for name, code in codes.items()}
    state |= {f"{name} scale": torch.tensor(code.scale) for name, code in codes.items()}
    return state | network.state_dict()


def mutations(data, count, places):
    """Copies of a file with one byte changed, at places that are the same in every run."""
    generator = np.random.default_rng(0)
    for place in generator.choice(places, count):
        changed = bytearray(data)
        changed[place] ^= int(generator.integers(1, 256))
        yield bytes(changed)


def attempt(function, *arguments, **options):
    """What a function returns, or the UserError that it raises; nothing else may be raised."""
    try:
        return function(*arguments, **options), None
    except UserError as error:
        return None, error


def assert_one_line(error, path):
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)


@pytest.mark.parametrize("part", ["header", "tensors"])
def test_a_packed_file_with_another_byte_is_refused_or_the_same_network(tmp_path, packed, part):
    data = packed.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    places = np.arange(begin) if part == "header" else np.arange(begin, len(data))
    expected, path, refused = state_of(load_packed(packed)), tmp_path / "changed", 0
    for changed in mutations(data, 300, places):
        path.write_bytes(changed)
        loaded, error = attempt(load_packed, path)
        if error:
            refused += 1
            assert_one_line(error, path)
        else:
            found = state_of(loaded)
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert refused >= {"header": 250, "tensors": 300}[part]  # a changed blank or a changed key of the checksum is none


def rewrite(path, target, checksum=True, **changed):
    with safe_open(path, "pt") as file:
        metadata = file.metadata() | changed
    if not checksum:
        del metadata["checksum"]
    save_file(load_file(path), target, metadata)
    return target


def test_a_packed_file_without_checksum_is_read_and_one_with_other_metadata_is_not(tmp_path, packed):
    assert load_packed(rewrite(packed, tmp_path / "again"))
    config = json.dumps({**CONFIG, "seed": 4})
    assert load_packed(rewrite(packed, tmp_path / "old", checksum=False, config=config))
    with pytest.raises(UserError, match="does not fit its checksum") as error:
        load_packed(rewrite(packed, tmp_path / "other", config=config))
    assert_one_line(error.value, tmp_path / "other")
