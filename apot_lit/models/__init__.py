"""The networks, in full precision, and what they begin with."""

from apot_lit.models.input import PixelInput
from apot_lit.models.resnet import ARCHITECTURES, ResNet

__all__ = ["ARCHITECTURES", "PixelInput", "ResNet"]
