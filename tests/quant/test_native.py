"""The compiled loops against the tensor operations, which the other tests hold to exact fractions."""

import os
import subprocess
import sys

import pytest
import torch

from apot_lit.quant.cpu import native
from apot_lit.quant.functional import quantize_codes
from apot_lit.quant.levels import level_set
from apot_lit.quant.projection import half_grid_table
from tests.conftest import ROOT

LOAD = native.load  # before any fixture replaces it
SHAPES = {"small": (3,), "one block and a bit": (2051,), "many blocks": (20, 3, 31, 33)}


@pytest.fixture(autouse=True)
def way():
    """Not each way in turn, as elsewhere in this package."""


@pytest.fixture
def both(monkeypatch):
    """Calls a function both ways, where there are two."""
    monkeypatch.setattr(native, "load", LOAD)
    if LOAD() is None:
        pytest.skip("no C compiler here")

    def call(function):
        results = []
        for load in (LOAD, lambda: None):
            monkeypatch.setattr(native, "load", load)
            results.append(function())
        return results

    return call


def quantized(x, raw, bits, scheme, **options):
    x, raw = x.clone(memory_format=torch.preserve_format).requires_grad_(), raw.clone().requires_grad_()
    levels = level_set(scheme, bits)
    table = half_grid_table(levels, options["signed"])
    codes, step = quantize_codes(x, raw, levels, table=table, **options)
    codes.backward(torch.linspace(-1, 2, x.numel()).view(x.shape))
    return codes.detach(), step, x.grad, raw.grad


@pytest.mark.parametrize("scheme", ["apot", "uniform"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "options",
    [
        {"signed": True, "normalize": True},
        {"signed": True, "normalize": True, "straight_through": True},
        {"signed": True, "straight_through": True, "grad_scale": 0.1},
        {"signed": True},
        {"signed": False, "grad_scale": 0.5},
    ],
    ids=lambda options: "-".join(options),
)
def test_both_ways_give_the_same_codes_and_gradients(both, scheme, bits, shape, options):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(bits)) * 2 + 0.3
    (codes, step, grad, grad_alpha), expected = both(lambda: quantized(x, torch.tensor(1.7), bits, scheme, **options))
    assert torch.equal(codes, expected[0])
    assert step == expected[1]
    torch.testing.assert_close(grad, expected[2], rtol=2e-5, atol=2e-6 * float(expected[2].abs().max()))
    # Sums of float32 terms that partly cancel: the error is in proportion to the terms, at most 2 * step each.
    torch.testing.assert_close(grad_alpha, expected[3], rtol=1e-5, atol=1e-6 * float(codes.abs().sum() * step + 1))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("scheme", ["apot", "uniform"])
def test_both_ways_treat_odd_values_alike(both, scheme, signed):
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45, 3e38, -3e38, 1.7, -1.7])
    (codes, *_), (expected, *_) = both(lambda: quantized(odd, torch.tensor(1.7), 4, scheme, signed=signed))
    assert torch.equal(codes.nan_to_num(nan=99), expected.nan_to_num(nan=99))
    assert codes[0].isnan()


@pytest.mark.parametrize("straight_through", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("where", ["x", "gradient"])
@pytest.mark.parametrize("size", [5, 40])
def test_both_ways_treat_nan_alike_in_gradients(both, where, size, signed, normalize, straight_through):
    x, upstream = torch.linspace(-3, 3, size), torch.linspace(-1, 2, size)
    (x if where == "x" else upstream)[2] = float("nan")
    levels = level_set("apot", 4)
    table = half_grid_table(levels, signed)

    def gradients():
        leaf, raw = x.clone().requires_grad_(), torch.tensor(1.7, requires_grad=True)
        options = {"signed": signed, "normalize": normalize, "straight_through": straight_through}
        codes, _ = quantize_codes(leaf, raw, levels, table=table, **options)
        codes.backward(upstream)
        return leaf.grad, raw.grad

    (grad, grad_alpha), expected = both(gradients)
    torch.testing.assert_close(grad, expected[0], rtol=2e-5, atol=1e-5, equal_nan=True)
    assert grad_alpha.isnan() == expected[1].isnan()


def test_memory_format_and_gaps_change_nothing(both):
    x = torch.randn(4, 8, 5, 6, generator=torch.Generator().manual_seed(0))
    raw = torch.tensor(1.0)
    for layout in (x.contiguous(memory_format=torch.channels_last), x.transpose(1, 3), x[:, ::2], x[:0]):
        (codes, _, grad, _), expected = both(lambda layout=layout: quantized(layout, raw, 3, "apot", signed=True))
        assert torch.equal(codes, expected[0])
        torch.testing.assert_close(grad, expected[2])
    kept = quantized(x.contiguous(memory_format=torch.channels_last), raw, 3, "apot", signed=True)[0]
    assert kept.is_contiguous(memory_format=torch.channels_last)


def test_threads_change_no_bit(both):
    x = torch.randn(300_000, generator=torch.Generator().manual_seed(0))
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(quantized(x, torch.tensor(1.7), 4, "apot", signed=True, normalize=True))
    torch.set_num_threads(1)
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_training_works_without_a_compiler(tmp_path):
    code = (
        "import torch; from apot_lit.quant import QuantSpec, quantize_model; from apot_lit.quant.cpu import native; "
        "assert native.load() is None; "
        "net = quantize_model(torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3))), QuantSpec(bit=4)); "
        "net(torch.rand(2, 4)).sum().backward(); print(float(net[1].weight.grad.norm()))"
    )
    environment = os.environ | {"CC": "no-such-compiler", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 0
