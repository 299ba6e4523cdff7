"""Attention whose projections are linear layers, so that they can be quantised like others."""

import math
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """`torch.nn.MultiheadAttention` with four layers for its projections; the same function up to rounding.

    Attributes:
        q_proj: linear layer, of queries.
        k_proj: of keys.
        v_proj: of values.
        out_proj: of the result.

    Shape:
        as `torch.nn.MultiheadAttention`.
    """

    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    out_proj: nn.Module
    # What torch.nn.TransformerEncoderLayer asks in evaluation before it reads weights past their layers' forward.
    in_proj_bias = None
    _qkv_same_embed_dim = False

    bias_k: nn.Parameter | None
    bias_v: nn.Parameter | None

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = layer.embed_dim, layer.num_heads, layer.head_dim
        self.kdim, self.vdim, self.dropout, self.batch_first = layer.kdim, layer.vdim, layer.dropout, layer.batch_first
        self.add_zero_attn = layer.add_zero_attn
        weights = [layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight]
        if layer.in_proj_weight is not None:
            weights = _parts(layer.in_proj_weight)
        biases = (None,) * 3 if layer.in_proj_bias is None else _parts(layer.in_proj_bias)
        self.q_proj, self.k_proj, self.v_proj = (_linear(*pair) for pair in zip(weights, biases, strict=True))
        self.out_proj = _linear(layer.out_proj.weight, layer.out_proj.bias)
        self.register_parameter("bias_k", layer.bias_k)
        self.register_parameter("bias_v", layer.bias_v)

    @classmethod
    def from_float(cls, layer: nn.MultiheadAttention) -> Self:
        """Takes the parameters of torch's module: copies of those that it has in one piece."""
        made = cls(layer)
        made.train(layer.training)
        return made

    def to_float(self) -> nn.MultiheadAttention:
        """Returns torch's module with copies of the same parameters; the projections must be float layers."""
        projections: list[Any] = [self.q_proj, self.k_proj, self.v_proj]
        bias = projections[0].bias is not None
        sizes = {"add_bias_kv": self.bias_k is not None, "add_zero_attn": self.add_zero_attn, "kdim": self.kdim}
        options = {**sizes, "vdim": self.vdim, "batch_first": self.batch_first, "device": "meta"}
        layer: Any = nn.MultiheadAttention(self.embed_dim, self.num_heads, self.dropout, bias, **options)
        if layer.in_proj_weight is None:
            layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight = (part.weight for part in projections)
        else:
            layer.in_proj_weight = _joined([part.weight for part in projections])
        if bias:
            layer.in_proj_bias = _joined([part.bias for part in projections])
        layer.out_proj.weight, layer.out_proj.bias = self.out_proj.weight, self.out_proj.bias
        layer.bias_k, layer.bias_v = self.bias_k, self.bias_v
        restored: nn.MultiheadAttention = layer.train(self.training)
        return restored

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Returns what `torch.nn.MultiheadAttention` returns; `is_causal` is a hint about `attn_mask` there, too."""
        batched = query.dim() == 3
        if not batched:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        count, added = q.shape[0], k.shape[1]  # len() would fix the size of batches in graphs
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(count, 1, -1)], 1)
            v = torch.cat([v, self.bias_v.expand(count, 1, -1)], 1)
        if self.add_zero_attn:
            k, v = (F.pad(x, (0, 0, 0, 1)) for x in (k, v))
        q, k, v = (x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2) for x in (q, k, v))
        mask = _mask(attn_mask, key_padding_mask, count, self.num_heads, k.shape[2] - added, q.dtype)
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        weights = (scores if mask is None else scores + mask).softmax(-1)
        weights = F.dropout(weights, self.dropout, self.training)
        result = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        if average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return result[0], weights[0] if need_weights else None
        return result if self.batch_first else result.transpose(0, 1), weights if need_weights else None


def _mask(
    attn_mask: Tensor | None, padding: Tensor | None, count: int, heads: int, added: int, dtype: torch.dtype
) -> Tensor | None:
    """What is added to the scores ``[N, heads, L, S]``, `added` columns of zeros at the end; None for nothing."""
    total: Tensor | None = None
    if attn_mask is not None:
        total = _additive(attn_mask, dtype)
        total = total.unflatten(0, (count, heads)) if total.dim() == 3 else total[None, None]
    if padding is not None:
        hidden = _additive(padding, dtype)[:, None, None]
        total = hidden if total is None else total + hidden
    return total if total is None or not added else F.pad(total, (0, added))


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype is not torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -math.inf)


def _parts(joined: nn.Parameter) -> list[nn.Parameter]:
    """Parameters of their own for queries, keys and values."""
    return [nn.Parameter(part.detach().clone(), joined.requires_grad) for part in joined.chunk(3)]


def _joined(parts: list[nn.Parameter]) -> nn.Parameter:
    return nn.Parameter(torch.cat([part.detach() for part in parts]), parts[0].requires_grad)


def _linear(weight: nn.Parameter, bias: nn.Parameter | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = weight
    layer.register_parameter("bias", bias)
    return layer
