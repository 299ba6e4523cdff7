"""The networks, in full precision."""

from apot_lit.models.resnet import ARCHITECTURES, ResNet

__all__ = ["ARCHITECTURES", "ResNet"]
