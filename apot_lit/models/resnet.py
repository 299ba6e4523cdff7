"""Float ResNets for small images, built from torchvision's blocks; they know nothing of quantisation.

Every ReLU is a module of its own, so that quantisation can leave out those that it makes superfluous.
"""

from typing import ClassVar, Literal, get_args

from torch import Tensor, nn
from torchvision.models import resnet

from apot_lit.quant.ranges import Integer, Number, OneOf, Range, check, or_null

Stem = Literal["reference", "small", "strided"]


class BasicBlock(resnet.BasicBlock):
    """torchvision's basic block with a module of its own for each ReLU.

    Attributes:
        last_norm: name of the batch norm that the shortcut is added to.
        residual_gamma: its usual initial weight.
    """

    last_norm: ClassVar = "bn2"
    residual_gamma: ClassVar = 1.0

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__(inplanes, planes, stride, downsample)
        self.relu1 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output; it is not negative."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Bottleneck(resnet.Bottleneck):
    """torchvision's bottleneck with a module of its own for each ReLU.

    Attributes:
        last_norm: name of the batch norm that the shortcut is added to.
        residual_gamma: its usual initial weight; from 1, gradients are too large to start with a rate of 0.1.
    """

    last_norm: ClassVar = "bn3"
    residual_gamma: ClassVar = 0.1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__(inplanes, planes, stride, downsample)
        self.relu1 = nn.ReLU(inplace=True)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output; it is not negative."""
        y = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


ARCHITECTURES: dict[str, tuple[type[BasicBlock | Bottleneck], tuple[int, int, int, int]]] = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet14": (BasicBlock, (2, 1, 1, 2)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}
RANGES: dict[str, Range] = {
    "name": OneOf(tuple(ARCHITECTURES)),
    "stem": OneOf(get_args(Stem)),
    "width": Integer(1, 512),
    "residual_gamma": or_null(Number(0, 1)),
}


class ResNet(nn.Module):
    """ResNet with stages of `width`, 2, 4 and 8 times `width` channels (times 4 after a bottleneck).

    Source: He et al., "Deep Residual Learning", CVPR 2016; strides of a bottleneck sit on its 3x3 convolution.

    Args:
        name: a key of `ARCHITECTURES`.
        stem: ``"reference"``: 7x7 convolution of stride 2 and 3x3 max-pool of stride 2; ``"small"``: 3x3
            convolution of stride 1, no pool; ``"strided"``: 5x5 convolution of stride 2, no pool.
        width: channels of the stem and the first stage, from 1 to 512.
        num_classes: number of logits.
        in_channels: of the images: 1 grey, 3 in colour.
        residual_gamma: initial weight of the last batch norm of each block, from 0 to 1; None: 1 in basic blocks, 0.1
            in bottleneck blocks. At 0 (Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1) the strided
            shortcuts alone would decide: they see one corner of the image, which is blank in most digits, and batch
            norms divide by a deviation of 0.
        input: what the network begins with, such as `PixelInput`; None: the first convolution reads what it is given.

    Shape:
        images ``[N, in_channels, H, W]``, those that `input` takes, to logits ``[N, num_classes]``.

    Raises:
        ValueError: for a value that is not allowed; one line that begins with the argument.

    Examples:
        >>> sum(p.numel() for p in ResNet("resnet10").parameters())
        309178
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        name: str,
        stem: Stem = "reference",
        width: int = 16,
        num_classes: int = 10,
        in_channels: int = 1,
        residual_gamma: float | None = None,
        input: nn.Module | None = None,
    ) -> None:
        super().__init__()
        given = {"name": name, "stem": stem, "width": width, "residual_gamma": residual_gamma}
        for argument, value in given.items():
            check(argument, value, RANGES[argument])
        block, depths = ARCHITECTURES[name]
        self.input = nn.Identity() if input is None else input
        if stem == "reference":
            self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            kernel, stride = (3, 1) if stem == "small" else (5, 2)
            self.conv1 = nn.Conv2d(in_channels, width, kernel, stride=stride, padding=kernel // 2, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        channels = width
        for stage, depth in enumerate(depths):
            planes = width * 2**stage
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(channels, planes, stride, _shortcut(channels, planes * block.expansion, stride)))
                channels = planes * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, block):
                gamma = block.residual_gamma if residual_gamma is None else residual_gamma
                nn.init.constant_(getattr(module, block.last_norm).weight, gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.input(x)))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def _shortcut(channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels))
