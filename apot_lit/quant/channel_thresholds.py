"""A clipping threshold for each output channel of a layer's weights."""

import torch
from torch import nn

from apot_lit.quant.levels import LevelSet
from apot_lit.quant.quantizers import WeightQuantizer


class ChannelWeightQuantizer(WeightQuantizer):
    """Signed quantiser of weights, ``alpha_c * project(clip(w_c / alpha_c, -1, 1))`` for every output channel c.

    Weights are normalised over the whole layer all the same.

    Args:
        levels: see `WeightQuantizer`.
        alpha: initial clipping threshold of all channels.
        channels: how many there are.
        normalize: see `WeightQuantizer`.
        grad_scale: factor on the gradient of every threshold, None for none.

    Shape:
        weights ``[channels, ...]`` in, codes of the same shape and a scale ``[channels, 1, ...]`` out.

    Examples:
        >>> from apot_lit.quant.levels import level_set
        >>> quantizer = ChannelWeightQuantizer(level_set("uniform", 1), 1.0, channels=2, normalize=False)
        >>> _ = quantizer.raw_alpha.data.copy_(torch.tensor([1.0, 4.0]))
        >>> quantizer(torch.tensor([[0.3, 0.6], [1.9, 2.1]])).fake_quantized().tolist()
        [[0.0, 1.0], [0.0, 4.0]]
    """

    def __init__(
        self, levels: LevelSet, alpha: float, channels: int, normalize: bool = True, grad_scale: float | None = None
    ) -> None:
        super().__init__(levels, alpha, normalize, grad_scale)
        self.raw_alpha = nn.Parameter(torch.full((channels,), float(alpha)))
