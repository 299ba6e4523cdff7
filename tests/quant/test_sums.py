"""Sums of codes are exact whatever torch is told to compute with."""

import itertools
import threading
import warnings
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from apot_lit.quant import QuantSpec, keep_sums_exact, quant_layers, quantize_model, sums
from apot_lit.quant.cpu.convolution import convolve
from apot_lit.quant.layers import sums_are_exact
from apot_lit.quant.sums import exact_sums, sum_codes

BACKENDS = {"oneDNN": {}, "no oneDNN": {"mkldnn": False}}
GEOMETRIES = [
    # batch, channels in and out, size, kernel, stride, padding, groups
    *itertools.product((1, 15, 16, 17), ((8, 16),), (14,), (1, 3, 5), (1, 2), (0, 1), (1, 4)),
    *((32, (3, 8), 28, kernel, stride, kernel // 2, 1) for kernel in (3, 7) for stride in (1, 2)),
    *((batch, (64, 32), size, 3, 1, 1, 1) for batch in (16, 64) for size in (1, 4, 7)),
    (16, (8, 8), 9, (3, 1), (1, 2), (1, 0), 8),
    (16, (8, 8), 20, 16, 1, 0, 1),
]


@pytest.fixture(autouse=True)
def way():
    """Not each way of quantising in turn, as elsewhere in this package."""


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No shape was looked at before, and all switches are back afterwards."""
    monkeypatch.setattr(sums, "_seen", set())
    before = state()
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.nnpack.set_flags(True)
    for operations in (torch.backends.cuda.matmul, torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul):
        operations.fp32_precision = "none"
    torch.backends.mkldnn.enabled = True
    torch.backends.cudnn.conv.fp32_precision = before[2]  # "none" until something asks for it, "tf32" afterwards
    assert state() == before


def state():
    """Every switch that matters here."""
    return (
        torch.backends.mkldnn.enabled,
        torch._C._get_nnpack_enabled(),
        torch.backends.cudnn.conv.fp32_precision,
        torch.backends.cuda.matmul.fp32_precision,
        torch.backends.mkldnn.conv.fp32_precision,
        torch.backends.mkldnn.matmul.fp32_precision,
    )


def choose(mkldnn=True, conv=None, matmul=None, legacy=None, new=None, cudnn=None):
    """Sets switches as a user would."""
    torch.backends.mkldnn.enabled = mkldnn
    if conv:
        torch.backends.mkldnn.conv.fp32_precision = conv
    if matmul:
        torch.backends.mkldnn.matmul.fp32_precision = matmul
    if legacy:
        torch.set_float32_matmul_precision(legacy)
    if new:
        torch.backends.cuda.matmul.fp32_precision = new
    if cudnn:
        torch.backends.cudnn.conv.fp32_precision = cudnn


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_convolutions_of_integers_are_exact(backend):
    choose(**backend)
    torch.manual_seed(0)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error", RuntimeWarning)
        for batch, channels, size, kernel, stride, padding, groups in GEOMETRIES:
            layer = nn.Conv2d(*channels, kernel, stride, padding, groups=groups, bias=False)
            x = torch.randint(0, 905, (batch, channels[0], size, size))  # odd ones beyond 256 are none in bfloat16
            weight = torch.randint(-10, 11, layer.weight.shape)
            for memory_format in (torch.contiguous_format, torch.channels_last):
                codes = x.float().contiguous(memory_format=memory_format)
                got = sum_codes(partial(convolve, layer), codes, weight.float(), whole=True)
                expected = layer._conv_forward(x.double(), weight.double(), None).long()
                assert torch.equal(got.long(), expected), (batch, channels, size, kernel, stride, padding, groups)
                assert torch.equal(got, got.round())


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_whoever_only_quantises_a_model_has_exact_layers(backend):
    torch.manual_seed(0)
    parts = (nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 1), nn.Flatten())
    network = quantize_model(nn.Sequential(*parts, nn.Linear(256, 64), nn.Linear(64, 10)), QuantSpec(bit=5)).eval()
    choose(**backend)
    x = torch.rand(64, 8, 4, 4) * 3
    with torch.no_grad():
        for layer in list(network)[:-1]:
            y = layer(x)
            if layer in list(network)[1:3] + list(network)[4:5]:
                inputs, weights = layer.act_quantizer(x), layer.weight_quantizer(layer.weight)
                a, w = inputs.values.double(), weights.values.double()
                total = layer._conv_forward(a, w, None) if isinstance(layer, nn.Conv2d) else F.linear(a, w)
                bias = layer.bias.view(-1, 1, 1) if isinstance(layer, nn.Conv2d) else layer.bias
                assert torch.equal(y, total.float() * (inputs.scale * weights.scale) + bias)
            x = y


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize(
    "user",
    [
        {},
        {"mkldnn": False},
        {"conv": "bf16"},
        {"matmul": "bf16"},
        {"legacy": "medium"},
        {"legacy": "high"},
        {"new": "tf32"},
        {"new": "ieee"},
        {"cudnn": "ieee"},
        {"legacy": "high", "cudnn": "ieee", "mkldnn": False},
    ],
    ids=str,
)
def test_switches_are_put_back(device, user):
    choose(**user)
    before = state()

    def fails_inside():
        with exact_sums(device):
            with exact_sums(device):
                pass
            seen.append(state())
            raise KeyError

    seen = []
    with pytest.raises(KeyError):
        fails_inside()
    [(mkldnn, nnpack, cudnn, cublas, conv, matmul)] = seen
    if device == "cpu":
        assert mkldnn or not nnpack
        assert {conv, matmul} <= {"none", "ieee"}
    if device == "cuda":
        assert {cudnn, cublas} <= {"none", "ieee"}
    assert state() == before


def test_the_last_thread_puts_them_back():
    choose(mkldnn=False)
    first_in, second_out = threading.Event(), threading.Event()

    def first():
        with exact_sums("cpu"):
            first_in.set()
            second_out.wait(10)
            seen.append(torch._C._get_nnpack_enabled())

    seen = []
    thread = threading.Thread(target=first)
    thread.start()
    first_in.wait(10)
    with exact_sums("cpu"):
        pass
    second_out.set()
    thread.join()
    assert seen == [False]
    assert torch._C._get_nnpack_enabled()


def test_for_the_rest_of_the_process():
    choose(mkldnn=False, conv="bf16", legacy="high")
    keep_sums_exact()
    assert not torch._C._get_nnpack_enabled()
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    assert set(state()[2:]) <= {"none", "ieee"}
    with exact_sums("cpu"), exact_sums("cuda"):
        pass
    assert not torch._C._get_nnpack_enabled()


def test_sums_that_are_not_whole_are_told_once_for_each_shape():
    x, weight = torch.ones(2, 3), torch.ones(4, 3)

    def rounding(x, weight):
        return F.linear(x, weight) * (1 + 1e-4)

    with pytest.warns(RuntimeWarning, match="off by up to 0.0003"):
        sum_codes(rounding, x, weight, whole=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sum_codes(rounding, x, weight, whole=True)
        sum_codes(rounding, x[:1], weight, whole=False)
        sum_codes(F.linear, torch.full((3, 3), float("nan")), weight, whole=True)
        sum_codes(F.linear, x[:0], weight, whole=True)
        assert sum_codes(rounding, x.to("meta"), weight.to("meta"), whole=True).is_meta
    with pytest.warns(RuntimeWarning):
        sum_codes(rounding, x[:1], weight, whole=True)


def test_compiled_code_says_when_its_sums_are_not_exact():
    network = quantize_model(nn.Sequential(*(nn.Conv2d(4, 4, 3) for _ in range(3))), QuantSpec(bit=4))
    x = torch.rand(16, 4, 9, 9)
    choose(mkldnn=False)
    expected = network(x)
    torch.compiler.reset()
    with pytest.warns(RuntimeWarning, match="keep_sums_exact"):
        torch.compile(network, backend="eager", fullgraph=True)(x)
    torch.compiler.reset()
    keep_sums_exact()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert torch.equal(torch.compile(network, backend="eager", fullgraph=True)(x), expected)


@pytest.mark.parametrize(
    ("bit", "channels", "exact"),
    [(5, 388, True), (5, 389, False), (4, 3000, True), (6, 41, True), (6, 42, False), (8, 4, False)],
)
def test_which_sums_float32_holds(bit, channels, exact):
    """Fan-in is nine times the channels; codes at the limit show whether the bound is one."""
    with torch.device("meta"):
        parts = [nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Conv2d(channels, 1, 3), nn.Conv2d(1, 1, 1)]
    network = quantize_model(nn.Sequential(*parts), QuantSpec(bit=bit))
    first, middle, last = (sums_are_exact(layer) for _, layer in quant_layers(network))
    assert middle == exact
    assert not first  # its input is float
    assert not last
    largest = max(QuantSpec(bit=bit).act_levels().codes) * max(QuantSpec(bit=bit).weight_levels().codes)
    total = largest * 9 * channels
    assert (all(int(torch.tensor(total - i).float()) == total - i for i in range(4))) == exact


def test_levels_that_are_no_whole_numbers_have_no_exact_sums():
    network = quantize_model(nn.Sequential(*(nn.Linear(2, 2) for _ in range(3))), QuantSpec(bit=5, additive=False))
    assert not sums_are_exact(network[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(torch.rand(3, 2))
