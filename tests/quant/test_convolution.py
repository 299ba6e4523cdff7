import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from apot_lit.quant.cpu.convolution import convolve

FORMATS = [torch.contiguous_format, torch.channels_last]
ONE_PIXEL = [
    # height and width, kernel, stride, padding
    (1, 3, 1, 1),
    (2, 3, 2, 1),
    (2, 1, 2, 0),
    (3, 3, 1, 0),
    (4, 3, 2, 0),  # rows and columns that no kernel sees
    (1, 7, 2, 3),
    (1, 1, 1, 0),
    (1, 1, 3, 1),  # sees nothing but padding
    (1, 1, 5, 2),
    ((1, 2), (1, 3), (1, 2), (0, 1)),
]
POINTWISE = [(7, 1, 2, 0), (4, 1, 1, 0), (5, 1, 3, 0), ((4, 6), 1, (2, 3), 0)]
OTHERS = [(4, 3, 1, 1), (7, 3, 2, 1), (5, 1, 1, 1), ((1, 4), (3, 3), 1, 1)]


def case(size, kernel, stride, padding, memory_format=torch.contiguous_format, dtype=torch.float32, **options):
    """A layer, an input and weights of random integers, small enough for exact sums."""
    torch.manual_seed(0)
    height, width = (size, size) if isinstance(size, int) else size
    layer = nn.Conv2d(4, 6, kernel, stride, padding, bias=False, **options)
    x = torch.randint(-9, 10, (3, 4, height, width)).to(dtype).contiguous(memory_format=memory_format)
    weight = torch.randint(-9, 10, layer.weight.shape).to(dtype)
    return layer, x.requires_grad_(), weight.requires_grad_()


def expected(layer, x, weight):
    """By torch.nn.functional alone, in float64."""
    return F.conv2d(x.double(), weight.double(), None, layer.stride, layer.padding, layer.dilation, layer.groups)


def count_convolutions(function):
    """How many calls of a general convolution a function makes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    return sum(event.count for event in profile.key_averages() if event.key == "aten::convolution")


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("geometry", ONE_PIXEL + POINTWISE + OTHERS, ids=str)
def test_values_and_gradients_are_those_of_the_general_convolution(geometry, memory_format):
    layer, x, weight = case(*geometry, memory_format)
    y = convolve(layer, x, weight)
    reference = expected(layer, x, weight)
    assert torch.equal(y.double(), reference)
    upstream = torch.randint(-9, 10, y.shape).float()
    gradients = torch.autograd.grad(y, [x, weight], upstream)
    references = torch.autograd.grad(reference, [x, weight], upstream.double())
    assert all(torch.equal(a.double(), b.double()) for a, b in zip(gradients, references, strict=True))


@pytest.mark.parametrize(
    "options", [{"groups": 2}, {"dilation": 2}, {"padding_mode": "circular"}, {"padding_mode": "reflect"}], ids=str
)
@pytest.mark.parametrize("geometry", [(3, 3, 2, 1), (3, 1, 2, 0), (3, 3, 4, 1)], ids=str)
def test_other_options_are_left_to_torch(geometry, options):
    layer, x, _ = case(*geometry, torch.channels_last, **options)
    assert torch.equal(convolve(layer, x, layer.weight), layer(x))


def test_named_padding_and_single_images():
    layer, x, weight = case(2, 3, 1, "same")
    assert torch.equal(convolve(layer, x, weight).double(), expected(layer, x, weight))
    layer, x, weight = case(1, 3, 1, 1)
    assert torch.equal(convolve(layer, x[0], weight), convolve(layer, x, weight)[0])


def test_an_input_smaller_than_the_kernel_is_refused_as_by_torch():
    layer, x, weight = case(2, 3, 1, 0)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        convolve(layer, x, weight)


@pytest.mark.parametrize(
    ("geometry", "memory_format", "general"),
    [
        *((geometry, memory_format, 0) for geometry, memory_format in itertools.product(ONE_PIXEL, FORMATS)),
        *((geometry, torch.channels_last, 0) for geometry in POINTWISE),
        *((geometry, torch.contiguous_format, 1) for geometry in POINTWISE),
        *((geometry, memory_format, 1) for geometry, memory_format in itertools.product(OTHERS, FORMATS)),
    ],
    ids=str,
)
def test_which_cases_are_matrix_products(geometry, memory_format, general):
    layer, x, weight = case(*geometry, memory_format)
    assert count_convolutions(lambda: convolve(layer, x, weight)) == general


def test_the_memory_format_of_the_input_is_kept():
    layer, x, weight = case(7, 1, 2, 0, torch.channels_last)
    assert convolve(layer, x, weight).is_contiguous(memory_format=torch.channels_last)
