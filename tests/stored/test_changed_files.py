"""Packed files that were changed: refused, or nothing is changed; what a new checksum hides is found by comparing."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from apot_lit.errors import UserError
from apot_lit.export.packed_engine import PackedEngine
from apot_lit.export.verify import verify
from apot_lit.integer import Executor
from apot_lit.runs.checksum import checksum
from apot_lit.stored.packed import load_packed, read_packed, require_same, save_packed
from tests.stored.networks import attempt, both, configuration, images

CONFIG = configuration(width=2, stem="small", bit=3)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "net.safetensors"
    network, integers = both(CONFIG)
    save_packed(network, integers, CONFIG, path)
    return network, integers, path


def rewrite(path, target, tensors=(), sign=True, **changed):
    with safe_open(path, "pt") as file:
        metadata = file.metadata() | changed
    kept = load_file(path) | dict(tensors)
    del metadata["checksum"]
    if sign:
        metadata["checksum"] = checksum([dict(sorted(metadata.items())), dict(sorted(kept.items()))])
    save_file(kept, target, metadata)
    return target


@pytest.mark.parametrize("part", ["header", "tensors"])
def test_a_file_with_another_byte_is_refused_or_the_same_network(tmp_path, packed, part):
    network, integers, original = packed
    data = original.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    generator, path, refused = np.random.default_rng(0), tmp_path / "changed", 0
    for place in generator.choice(np.arange(begin) if part == "header" else np.arange(begin, len(data)), 300):
        changed = bytearray(data)
        changed[place] ^= int(generator.integers(1, 256))
        path.write_bytes(changed)
        loaded, error = attempt(load_packed, path)
        if error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
        else:
            assert torch.equal(loaded(images()), Executor(integers)(images()))
            require_same(path, network, integers, CONFIG)
    assert refused >= {"header": 299, "tensors": 300}[part]  # a changed blank is none


def test_a_file_needs_its_checksum(tmp_path, packed):
    path = packed[-1]
    assert load_packed(rewrite(path, tmp_path / "again"))
    for target in (rewrite(path, tmp_path / "none", sign=False), rewrite(path, tmp_path / "other", checksum="0" * 64)):
        if target.name == "other":
            data = target.read_bytes()
            with safe_open(target, "pt") as file:
                target.write_bytes(data.replace(file.metadata()["checksum"].encode(), b"0" * 64))
        with pytest.raises(UserError, match=f"^{target}: does not fit its checksum"):
            load_packed(target)


KINDS = ["weight_codes", "thresholds", "multiplier", "shift", "bias", "sign"]


def flipped(path, kind, seed):
    """The tensors of a file with one bit of a number of this kind changed, and its name."""
    tensors = load_file(path)
    generator = np.random.default_rng(seed)
    names = [
        name
        for name in sorted(tensors)
        if name.endswith(f".{kind}") and (kind == "weight_codes" or name[:8] == "integer/")
    ]
    name = names[generator.integers(len(names))]
    values = tensors[name].clone()
    data = values.view(-1).view(torch.uint8)
    data[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
    return name, {name: values}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_caught_even_with_a_new_checksum(tmp_path, packed, kind):
    """By comparing the file always, by comparing what is computed where that is another."""
    network, integers, path = packed
    pixels = images(40, seed=7)
    expected = Executor(integers).codes(pixels)
    verify(integers, PackedEngine(path), pixels)
    caught = 0
    for seed in range(25):
        name, tensors = flipped(path, kind, seed)
        changed = rewrite(path, tmp_path / "changed", tensors)
        with pytest.raises(UserError, match=f"^verification failed: {name} is another"):
            require_same(changed, network, integers, CONFIG)
        engine, error = attempt(PackedEngine, changed)
        if error:  # thresholds that no longer ascend, a shift of 41
            caught += 1
            continue
        logits, codes = engine.executor.codes(pixels)
        differs = not torch.equal(logits, expected[0]) or any(
            not torch.equal(codes[layer], values) for layer, values in expected[1].items()
        )
        before = {s.layer: s.weight for s in integers.steps if hasattr(s, "weight")}
        differs |= any(not np.array_equal(value, before[layer]) for layer, value in engine.weights().items())
        _, failure = attempt(verify, integers, engine, pixels)
        assert (failure is not None) == differs
        caught += differs
    assert caught >= 8


def test_a_weight_that_no_image_uses_is_caught(tmp_path, packed):
    """A 3x3 kernel on a map of one position reads its centre alone."""
    _, integers, path = packed
    name = "fc.weight_codes"
    codes = load_file(path)[name]
    codes[9, 0] ^= 1
    changed = rewrite(path, tmp_path / "changed", {name: codes})
    with pytest.raises(UserError, match="verification failed: 1 of 160 weights of layer fc differ"):
        verify(integers, PackedEngine(changed), images(1))


@pytest.mark.parametrize("name", ["bn1.weight", "layer1.0.conv1.act_quantizer.raw_alpha", "layer2.0.bn1.running_var"])
def test_what_only_training_reads_is_compared_too(tmp_path, packed, name):
    network, integers, path = packed
    values = load_file(path)[name]
    values.view(-1)[0] *= 1.0001
    changed = rewrite(path, tmp_path / "changed", {name: values})
    with pytest.raises(UserError, match=f"^verification failed: {name} is another in {changed}"):
        require_same(changed, network, integers, CONFIG)


def test_texts_are_compared_too(tmp_path, packed):
    network, integers, path = packed
    for key, text in {"config": json.dumps({**CONFIG, "seed": 4}), "layers": "{}"}.items():
        changed = rewrite(path, tmp_path / "changed", **{key: text})
        with pytest.raises(UserError, match=f"^verification failed: {key} is another in"):
            require_same(changed, network, integers, CONFIG)


def test_verification_counts_everything(packed):
    _, integers, path = packed
    found = verify(integers, PackedEngine(path), images())
    assert found.weights == sum(step.weight.size for step in integers.steps if hasattr(step, "weight"))
    assert found.images == 6
    assert found.codes > 6 * 784
    assert read_packed(path).integers is not None
