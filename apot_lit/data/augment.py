"""Augmentation of whole batches."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images.

    Attributes:
        flip: Mirror each image left to right with probability 1/2.
        rotate: Largest angle of a rotation, in degrees.
        translate: Largest shift along each axis, in pixels.
        zoom: Images are scaled by a factor from `1 - zoom` to `1 + zoom`.
        shear: Largest angle of a horizontal shear, in degrees.
    """

    flip: bool = False
    rotate: float = 0.0
    translate: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0

    def __bool__(self) -> bool:
        """Whether anything is changed at all."""
        return self.flip or self._is_affine

    @property
    def _is_affine(self) -> bool:
        return any((self.rotate, self.translate, self.zoom, self.shear))

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changes each image of a batch `[B, C, H, W]` of 8-bit pixels in its own way; see the functions below."""
        if self.flip:
            images = random_horizontal_flip(images, generator)
        if self._is_affine:
            images = random_affine(images, generator, self.rotate, self.translate, self.zoom, self.shear)
        return images


def random_horizontal_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrors each image left to right with probability 1/2.

    The images stay on their device. The coins are tossed on the device of the generator, so with a CPU generator the
    same images are flipped whatever device trains.

    Args:
        images: Images `[B, C, H, W]` of any dtype; left unchanged.
        generator: The only source of randomness; advanced by `B` numbers.

    Returns:
        A new tensor `[B, C, H, W]` of the same dtype and device.

    Example:
        >>> images = torch.tensor([[[[1, 2, 3]]]]).expand(4, 1, 1, 3)
        >>> random_horizontal_flip(images, torch.Generator().manual_seed(0))[:, 0, 0].tolist()
        [[3, 2, 1], [1, 2, 3], [3, 2, 1], [3, 2, 1]]
    """
    coins = torch.rand(len(images), generator=generator, device=generator.device)
    flipped = (coins < 0.5).to(images.device, non_blocking=True)
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)


def random_affine(
    images: Tensor, generator: torch.Generator, rotate: float, translate: float, zoom: float, shear: float
) -> Tensor:
    """Rotates, shears, scales and shifts each image about its centre, each amount uniform up to its limit.

    Pixels are interpolated linearly and rounded to integers, so that they stay on the grid that a first layer in
    integers needs; what comes in from outside is 0. The numbers are drawn on the device of the generator.

    Args:
        images: uint8 images `[B, C, H, W]`; left unchanged.
        generator: The only source of randomness; advanced by `5 B` numbers.
        rotate: Largest angle in degrees.
        translate: Largest shift along each axis in pixels.
        zoom: Largest change of the scale, below 1.
        shear: Largest angle of a horizontal shear in degrees, below 90.

    Returns:
        New uint8 images `[B, C, H, W]` on the same device.

    Example:
        >>> image = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3)
        >>> torch.equal(random_affine(image, torch.Generator(), 0, 0, 0, 0), image)
        True
    """
    height, width = images.shape[-2:]
    draws = torch.rand(5, len(images), generator=generator, device=generator.device)
    draws = draws.to(images.device, non_blocking=True) * 2 - 1
    angle = draws[0] * math.radians(rotate)
    slant = torch.tan(draws[1] * math.radians(shear))
    inverse_scale = 1 / (1 + draws[2] * zoom)
    cos, sin = angle.cos() * inverse_scale, angle.sin() * inverse_scale
    # Where each pixel of the result comes from, in coordinates from -1 to 1.
    rows = [
        torch.stack([cos, (cos * slant - sin) * (height / width), draws[3] * (2 * translate / width)], dim=-1),
        torch.stack([sin * (width / height), sin * slant + cos, draws[4] * (2 * translate / height)], dim=-1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.round_().to(torch.uint8)
