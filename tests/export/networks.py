"""Networks of other kinds than the project's own, quantised, with batch norms that have seen images."""

from functools import cache

import torch
import torchvision.models
from torch import nn

from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quantize_model


def seen(network, images, **options):
    """Quantises a network of three channels, and lets its batch norms see images."""
    network = quantize_model(nn.Sequential(PixelInput(0.5, 0.25), network), QuantSpec(**{"bit": 4, **options}))
    with torch.no_grad():
        for _ in range(3):
            network.train()(images)
    return network.eval()


def noise(count, size, channels=3, seed=0):
    """Random images with areas of one brightness, so that layers beyond the first tell them apart."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=generator)
    fine = torch.rand(count, channels, size, size, generator=generator)
    mixed = 0.7 * nn.functional.interpolate(coarse, size=size) + 0.3 * fine
    return (255 * mixed).to(torch.uint8)


class DepthwiseNet(nn.Module):
    """Inverted residuals with ReLU6, as those of MobileNetV2."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6())
        self.expand = nn.Sequential(nn.Conv2d(12, 18, 1, bias=False), nn.BatchNorm2d(18), nn.ReLU6())
        self.deep = nn.Sequential(nn.Conv2d(18, 18, 3, 1, 1, groups=18, bias=False), nn.BatchNorm2d(18), nn.ReLU6())
        self.project = nn.Sequential(nn.Conv2d(18, 12, 1, bias=False), nn.BatchNorm2d(12))
        self.grouped = nn.Sequential(nn.Conv2d(12, 24, 3, 2, 1, groups=4), nn.BatchNorm2d(24), nn.ReLU6())
        self.last = nn.Linear(24, 5)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.project(self.deep(self.expand(x)))
        return self.last(self.grouped(x).mean((2, 3)))


class JoinedNet(nn.Module):
    """Branches of convolutions and pooling whose channels are joined; a batch norm before a convolution."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 10, 3, 2, 1)
        self.left = nn.Sequential(nn.Conv2d(10, 7, 1, bias=False), nn.BatchNorm2d(7), nn.ReLU())
        self.right = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(10, 6, 1), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.inner = nn.Sequential(nn.BatchNorm2d(23), nn.ReLU(), nn.Conv2d(23, 9, 3, bias=False), nn.AvgPool2d(2))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(9, 9, 1), nn.ReLU())
        self.size = nn.AdaptiveAvgPool2d((3, 1))
        self.inside, self.last = nn.Linear(54, 11), nn.Linear(11, 5)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = self.inner(torch.cat([self.left(x), self.right(x), self.pool(x)], dim=1))
        gate = nn.functional.adaptive_avg_pool2d(self.gate(x), (3, 1))
        x = torch.cat((gate, self.size(x)), 1)
        x = nn.functional.dropout(x.view(x.size(0), -1), 0.5, self.training)
        return self.last(torch.clamp(self.inside(x), -1.5, 2.25))


def _vgg11():
    network = torchvision.models.vgg11(num_classes=10)
    # Of the wide linear layers, which have 120 million weights, a few outputs.
    network.classifier[0] = nn.Linear(512 * 7 * 7, 24)
    network.classifier[3] = nn.Linear(24, 24)
    network.classifier[6] = nn.Linear(24, 10)
    return network


_MADE = {
    "depthwise": (DepthwiseNet, 16),
    "joined": (JoinedNet, 18),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), 32),
    "vgg11": (_vgg11, 32),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25), 32),
    "densenet121": (lambda: torchvision.models.DenseNet(8, (6, 12, 24, 16), 16, num_classes=10), 64),
}


@cache
def made(name, **options):
    """A network and images for it."""
    torch.manual_seed(0)
    make, size = _MADE[name]
    images = noise(12, size)
    return seen(make(), images, **options), images
