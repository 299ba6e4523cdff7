"""Exports that round a value midway between two levels the other way are right; any other difference is none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from apot_lit.errors import UserError
from apot_lit.export.c_source import write_c
from apot_lit.export.engines import CEngine, OnnxEngine
from apot_lit.export.onnx_model import build_onnx
from apot_lit.export.verify import verify
from apot_lit.graph.steps import Quantize
from apot_lit.graph.trace import build_steps
from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quantize_model

SHAPE = (1, 1, 1)


def network_of(factor=0.25):
    """One pixel p, times `factor`, to codes 0 to 3 with the midpoints 1, 3 and 5; these to further codes and classes.

    The first layer's code 0 leads to the codes (0, 1) of the second and to class 1, others to class 0.
    """
    layers = [PixelInput(0.0, 1 / 255), nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2, 2))
    spec = QuantSpec(bit=2, power=0, weight_bit=4, first_bit=32, weight_norm=False, weight_alpha=1.0, act_alpha=6.0)
    network = quantize_model(network, spec).eval()
    with torch.no_grad():
        network[1].weight.fill_(factor)
        network[2].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        network[2].bias.copy_(torch.tensor([0.0, 2.6]))
        for layer in (network[3], network[5]):
            layer.weight.copy_(torch.eye(2).view_as(layer.weight))
            layer.bias.zero_()
    return network


def engine_of(network, kind, path, stretch=1.0):
    """An export whose first quantiser has another factor."""
    steps = build_steps(network)
    first = next(index for index, step in enumerate(steps) if isinstance(step, Quantize))
    steps[first] = replace(steps[first], factor=float(np.float32(steps[first].factor * stretch)))
    if kind == "c":
        write_c(steps, SHAPE, "a test", path)
        return CEngine(path, steps, SHAPE)
    path.write_bytes(build_onnx(steps, SHAPE, {}).SerializeToString())
    return OnnxEngine(path, steps, threads=1)


def images_of(late, count=600):
    """Pixels far from midpoints, and `late` ones where activation codes are not compared as a matter of course."""
    pixels = np.resize(np.array([0, 2, 3, 5, 9, 14, 18, 30, 255], np.uint8), count)
    pixels[300 : 300 + len(late)] = late
    return torch.from_numpy(pixels).view(-1, 1, 1, 1)


@pytest.mark.parametrize("kind", ["onnx", "c"])
def test_images_that_differ_by_a_tie_are_counted(tmp_path, kind):
    network = network_of()
    images = images_of([4, 4, 12, 4, 12, 4, 4, 12])
    found = verify(network, engine_of(network, kind, tmp_path / "same"), images)
    assert (found.same_predictions, found.tie_images) == (600, 0)
    assert "tie" not in str(found)
    found = verify(network, engine_of(network, kind, tmp_path / "below", np.nextafter(np.float32(1), 0)), images)
    assert found.same_predictions == 595  # of pixel 4; those of pixel 12 have other logits and the same class
    assert found.tie_images == 8
    assert found.ties == 0  # of the images whose codes are compared in any case
    assert found.largest_logit_difference < 1e-5
    assert "8 of 600 images have a code on a tie" in str(found)


@pytest.mark.parametrize("kind", ["onnx", "c"])
@pytest.mark.parametrize(("distance", "is_tie"), [(3e-6, True), (5e-6, True), (8e-6, False), (1e-4, False)])
def test_a_tie_is_within_a_millionth_of_alpha(tmp_path, kind, distance, is_tie):
    """Pixel 4 lies `distance` half steps above the midpoint, so distance / 6 alpha; the export takes it for below."""
    network = network_of(0.25 * (1 + distance))
    engine = engine_of(network, kind, tmp_path / "net", 1 - 2 * distance)
    if is_tie:
        assert verify(network, engine, images_of([4] * 3)).tie_images == 3
    else:
        with pytest.raises(UserError, match=r"^verification failed: layer 2: 3 activation codes differ from torch$"):
            verify(network, engine, images_of([4] * 3))


def test_one_difference_that_is_no_tie_fails_beside_ties(tmp_path):
    network = network_of()
    engine = engine_of(network, "onnx", tmp_path / "net", 0.95)  # 21 / 4 is 5.25 half steps, there 4.99
    with pytest.raises(UserError, match="layer 2: 1 activation codes differ"):
        verify(network, engine, images_of([4, 4, 21]))


class Changed(OnnxEngine):
    """Says other logits than it computes for one image of a tie."""

    def logits(self, pixels):
        logits = super().logits(pixels).copy()
        logits[300] += 3
        return logits


@pytest.mark.parametrize("late", [[4], [5]])
def test_what_codes_do_not_explain_fails(tmp_path, late):
    network = network_of()
    path = tmp_path / "net"
    engine_of(network, "onnx", path, np.nextafter(np.float32(1), 0))
    with pytest.raises(UserError, match="logits of 1 images are not those of their codes"):
        verify(network, Changed(path, build_steps(network), threads=1), images_of(late, 400))
