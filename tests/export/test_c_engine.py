"""Exported C source is the network of integers; whatever is changed in it is noticed."""

import re

import numpy as np
import pytest
import torch

from apot_lit.errors import UserError
from apot_lit.export.c_engine import CEngine
from apot_lit.export.c_library import FLAGS
from apot_lit.export.c_source import C_FILES, SUMS, check_sums, checksums, write_c
from apot_lit.export.verify import verify
from apot_lit.integer import to_integers
from tests.export.conftest import PIXELS, REFERENCE_PIXELS, digits, trained

IMAGES = 40
QUICK = ("-std=c11", "-O1", "-fPIC", "-DAPOT_PORTABLE")


def integers(*arguments, stream_bit=16, fold=True, **options):
    return to_integers(trained(*arguments, **options), digits("train")[0][:300], stream_bit, fold)


def exported(network, directory):
    write_c(network, "a test", directory)
    return directory


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((4, 1), {}),
        ((3, 1), {"pixels": REFERENCE_PIXELS}),
        ((2, 1), {"lr": 0.01, "width": 4}),
        ((5, 1), {"stem": "small", "width": 4, "stream_bit": 12}),
        ((3, 0), {"stem": "small", "width": 4, "fold": False}),
        ((8, 0), {"name": "resnet50", "width": 4, "stream_bit": 8}),
        ((3, 1), {"additive": False, "width": 6}),
    ],
    ids=str,
)
def test_weights_codes_and_logits_are_equal(tmp_path, arguments, options):
    network = integers(*arguments, **options)
    # With all kernels once.
    engine = CEngine(exported(network, tmp_path / "net"), FLAGS if arguments == (4, 1) else QUICK)
    done = verify(network, engine, digits()[0][:IMAGES])
    assert done.images == IMAGES
    assert done.weights > 1000
    assert done.codes > 1000


@pytest.fixture(scope="module")
def small():
    return integers(3, 1, width=2)


@pytest.fixture(scope="module")
def directory(small, tmp_path_factory):
    return exported(small, tmp_path_factory.mktemp("c") / "net")


@pytest.mark.parametrize("name", C_FILES)
def test_any_flipped_bit_is_refused(directory, name):
    path = directory / name
    data = path.read_bytes()
    check_sums(directory)
    try:
        for place in np.random.default_rng(0).integers(0, len(data), 20):
            changed = bytearray(data)
            changed[place] ^= 1 << int(place % 8)
            path.write_bytes(changed)
            with pytest.raises(UserError, match="was changed or damaged") as error:
                check_sums(directory)
            assert str(error.value).startswith(f"{directory}: ")
            assert name == SUMS or f": {name} does not fit {SUMS}" in str(error.value)
        path.write_bytes(data[:-1])
        with pytest.raises(UserError, match="was changed or damaged"):
            CEngine(directory)
    finally:
        path.write_bytes(data)
    path.rename(tmp := path.with_name("elsewhere"))
    with pytest.raises(UserError, match="No such file"):
        CEngine(directory)
    tmp.rename(path)


def arrays(source):
    """Name and place of the numbers of every array of network.c."""
    found = re.finditer(r"static const (?:APOT_ALIGNED )?\w+ (\w+)_\d+\[\d+\] = \{(.*?)\};", source, re.DOTALL)
    return [(match[1], match.span(2)) for match in found]


def changed_source(source, kind, change, seed):
    """The source with one number of one array of a kind changed."""
    random = np.random.default_rng(seed)
    places = [span for name, span in arrays(source) if name == kind]
    begin, end = places[random.integers(len(places))]
    numbers = list(re.finditer(r"-?\d+", source[begin:end]))
    number = numbers[random.integers(len(numbers))]
    return source[: begin + number.start()] + str(change(int(number[0]))) + source[begin + number.end() :]


def write_changed(small, target, source):
    write_c(small, "a test", target)
    (target / "network.c").write_text(source)
    content = {name: (target / name).read_bytes() for name in C_FILES if name != SUMS}
    (target / SUMS).write_text(checksums(content))
    return target


@pytest.mark.parametrize(
    ("kind", "change", "always"),
    [
        ("weights", lambda w: w - 1 if w > 0 else w + 1, True),
        ("thresholds", lambda t: t ^ 256, False),
        ("below", lambda t: t ^ 256, False),
        ("multipliers", lambda m: m ^ 16384, False),
        ("shifts", lambda s: s ^ 2, False),
        ("biases", lambda b: b ^ 2**21, False),
        ("codes", lambda c: c ^ 1, False),
        ("signs", lambda s: -1 - s, False),
        ("first", lambda f: f ^ 2**18, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_changed_numbers_with_right_checksums_are_noticed(tmp_path, small, directory, kind, change, always):
    source, noticed = (directory / "network.c").read_text(), 0
    for seed in range(3):
        target = write_changed(small, tmp_path / str(seed), changed_source(source, kind, change, seed))
        try:
            verify(small, CEngine(target, QUICK), digits()[0][:IMAGES])
        except UserError as error:
            noticed += "differ" in str(error) or "weights beside those of its channels" in str(error)
    # What is given for outputs that only fill up a block changes nothing.
    assert noticed == 3 if always else noticed >= 1


def test_a_network_with_three_channels_and_a_large_stem(tmp_path):
    from torch import nn

    from apot_lit.models import PixelInput
    from apot_lit.quant import QuantSpec, quantize_model

    torch.manual_seed(0)
    layers = [
        PixelInput(*PIXELS),
        *(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(nn.Conv2d(6, 5, 3, padding=2, dilation=2), nn.BatchNorm2d(5), nn.ReLU()),
        *(nn.Conv2d(5, 10, 3, padding=1, groups=5), nn.BatchNorm2d(10), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(10 * 5 * 6, 7)),
    ]
    network = quantize_model(nn.Sequential(*layers), QuantSpec(bit=4))
    images = torch.randint(0, 256, (64, 3, 19, 23), dtype=torch.uint8)
    network.train()(images)
    found = to_integers(network.eval(), images)
    assert verify(found, CEngine(exported(found, tmp_path / "net"), QUICK), images).images == 64
