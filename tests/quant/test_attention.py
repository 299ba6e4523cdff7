"""Attention of layers against torch's own, and transformers whose fast path would pass the quantisers by."""

import itertools

import pytest
import torch
import torchvision
from torch import nn

from apot_lit.quant import QuantSpec, dequantize_model, expose_attention, find_inputs, quant_layers, quantize_model

EMBED, HEADS = 12, 3
OPTIONS = [
    {},
    {"batch_first": True},
    {"bias": False, "batch_first": True},
    {"kdim": 5, "vdim": 7, "batch_first": True},
    {"add_bias_kv": True},
    {"add_zero_attn": True, "add_bias_kv": True, "batch_first": True},
    {"kdim": 5, "vdim": 7, "bias": False, "add_zero_attn": True},
]


def tensors(options, batch=2, length=4, source=6):
    generator = torch.Generator().manual_seed(1)
    sizes = (length, EMBED), (source, options.get("kdim", EMBED)), (source, options.get("vdim", EMBED))
    found = [torch.randn(batch, *size, generator=generator) for size in sizes]
    return found if options.get("batch_first") else [x.transpose(0, 1) for x in found]


def both(options, seed=0):
    torch.manual_seed(seed)
    layer = nn.MultiheadAttention(EMBED, HEADS, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.4)
    return layer, expose_attention(layer)


def masks():
    causal = torch.ones(4, 6, dtype=torch.bool).triu(1)
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[1, 4:] = True
    per_head = torch.randn(2 * HEADS, 4, 6, generator=torch.Generator().manual_seed(2))
    return itertools.product((None, causal, causal * -2.5, per_head, per_head > 1.5), (None, padding))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_float_layers_compute_what_torchs_attention_does(options):
    layer, exposed = both(options)
    inputs = tensors(options)
    for mask, pad in masks():
        for training, average, weights in ((True, True, True), (False, False, True), (False, True, False)):
            layer.train(training), exposed.train(training)
            given = {"key_padding_mask": pad, "attn_mask": mask}
            if mask is not None and pad is not None and mask.dtype != torch.bool:
                given["key_padding_mask"] = torch.zeros_like(pad, dtype=torch.float).masked_fill(pad, -torch.inf)
            given |= {"need_weights": weights, "average_attn_weights": average}
            with torch.no_grad():
                expected, got = layer(*inputs, **given), exposed(*inputs, **given)
            for one, other in zip(expected, got, strict=True):
                assert (one is None) == (other is None)
                assert one is None or torch.allclose(one, other, atol=1e-5), (training, mask is None, pad is None)


def test_inputs_without_a_batch_and_gradients():
    layer, exposed = both({})
    inputs = [x[:, 0] for x in tensors({})]
    for one, other in zip(layer(*inputs), exposed(*inputs), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    layer(*inputs)[0].square().sum().backward()
    exposed(*inputs)[0].square().sum().backward()
    joined = torch.cat([getattr(exposed, f"{name}_proj").weight.grad for name in "qkv"])
    assert torch.allclose(layer.in_proj_weight.grad, joined, atol=1e-3, rtol=1e-3)
    assert torch.allclose(layer.out_proj.weight.grad, exposed.out_proj.weight.grad, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_torchs_attention_comes_back(options):
    layer, _ = both(options)
    back = dequantize_model(quantize_model(nn.ModuleList([nn.Linear(2, 2), layer, nn.Linear(2, 2)]), QuantSpec(bit=3)))
    assert type(back[1]) is nn.MultiheadAttention
    assert back[1].state_dict().keys() == layer.state_dict().keys()
    assert all(torch.equal(value, back[1].state_dict()[name]) for name, value in layer.state_dict().items())
    assert torch.equal(back[1](*tensors(options))[0], layer(*tensors(options))[0])


class Classifier(nn.Module):
    def __init__(self, layers=2):
        super().__init__()
        self.embed = nn.Linear(5, EMBED)
        layer = nn.TransformerEncoderLayer(EMBED, 2, 24, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(EMBED, 3)

    def forward(self, x, padding=None):
        return self.head(self.encoder(self.embed(x), src_key_padding_mask=padding).mean(1))


def test_transformers_compute_with_quantised_weights_in_evaluation_too():
    torch.manual_seed(0)
    network, x = Classifier(), torch.randn(4, 6, 5)
    quantized = quantize_model(network, QuantSpec(bit=2), x)
    names = [name for name, _ in quant_layers(quantized)]
    assert [name.removeprefix("encoder.layers.0.") for name in names[1:7]] == [
        *(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")), "linear1", "linear2",
    ]  # fmt: skip
    padding = torch.zeros(4, 6, dtype=torch.bool)
    padding[:, 5:] = True
    for given in ((x,), (x, padding)):
        expected = quantized.train()(*given)
        with torch.no_grad():
            evaluated, floats = quantized.eval()(*given), network.eval()(x)
        assert torch.allclose(evaluated, expected, atol=1e-5)
        assert not torch.allclose(evaluated, floats, atol=1e-2)
    quantized.train()(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in quantized.parameters())


def test_what_attention_and_norms_give_is_signed():
    found = find_inputs(Classifier(1), torch.randn(8, 6, 5))
    assert set(found.signed) == {
        "embed", "head", "encoder.layers.0.linear1", *(f"encoder.layers.0.self_attn.{p}_proj" for p in "qkv"),
        "encoder.layers.0.self_attn.out_proj",
    }  # fmt: skip
    assert not found.idle


def test_patterns_reach_projections():
    spec = QuantSpec(bit=4, overrides={"*.self_attn.*": {"bit": 8}})
    layers = dict(quant_layers(quantize_model(Classifier(1), spec, torch.randn(8, 6, 5))))
    assert layers["encoder.layers.0.self_attn.v_proj"].weight_quantizer.bit == 8
    assert layers["encoder.layers.0.linear1"].weight_quantizer.bit == 4


def test_a_vision_transformer_has_no_layer_in_full_precision():
    network = torchvision.models.VisionTransformer(16, 8, 1, 2, 8, 16, num_classes=3)
    images = torch.randn(2, 3, 16, 16)
    quantized = quantize_model(network, QuantSpec(bit=4), images)
    assert len(list(quant_layers(quantized))) == 1 + 4 + 2 + 1
    assert not [m for m in quantized.modules() if type(m) in (nn.Linear, nn.Conv2d, nn.MultiheadAttention)]
    assert quantized.eval()(images).shape == (2, 3)
