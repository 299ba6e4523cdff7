"""Augmentation of whole batches."""

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from apot_lit.data.options import DataOptions


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images.

    Attributes:
        flip: Mirror each image left to right with probability 1/2.
        rotate: Largest angle of a rotation, in degrees.
        translate: Largest shift along each axis, in pixels.
        zoom: Images are scaled by a factor from `1 - zoom` to `1 + zoom`.
        shear: Largest angle of a horizontal shear, in degrees.
        elastic: Strength of an elastic distortion, alpha of `elastic_displacements`, in pixels.
        elastic_sigma: Standard deviation of the Gaussian that smooths it, in pixels; above 0.
    """

    flip: bool = False
    rotate: float = 0.0
    translate: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    elastic_sigma: float = DataOptions.elastic_sigma

    def __bool__(self) -> bool:
        """Whether anything is changed at all."""
        return self.flip or self._moves_pixels

    @property
    def _moves_pixels(self) -> bool:
        return any((self.rotate, self.translate, self.zoom, self.shear, self.elastic))

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changes each image of a batch `[B, C, H, W]` of 8-bit pixels in its own way; see the functions below."""
        if self.flip:
            images = random_horizontal_flip(images, generator)
        if self._moves_pixels:
            grid = affine_grid(images, generator, self.rotate, self.translate, self.zoom, self.shear)
            if self.elastic:
                x, y = elastic_displacements(images, generator, self.elastic, self.elastic_sigma)
                grid[..., 0].add_(x, alpha=2 / images.shape[-1])
                grid[..., 1].add_(y, alpha=2 / images.shape[-2])
            images = sample(images, grid)
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


def affine_grid(
    images: Tensor, generator: torch.Generator, rotate: float, translate: float, zoom: float, shear: float
) -> Tensor:
    """Rotates, shears, scales and shifts each image about its centre, each amount uniform up to its limit.

    The numbers are drawn on the device of the generator.

    Args:
        images: Images `[B, C, H, W]`, for their shape and device.
        generator: The only source of randomness; advanced by `5 B` numbers.
        rotate: Largest angle in degrees.
        translate: Largest shift along each axis in pixels.
        zoom: Largest change of the scale, below 1.
        shear: Largest angle of a horizontal shear in degrees, below 90.

    Returns:
        Where each pixel of the result comes from, `[B, H, W, 2]`: x, y from -1 to 1, the outer edges of the image.
    """
    height, width = images.shape[-2:]
    draws = torch.rand(5, len(images), generator=generator, device=generator.device)
    draws = draws.to(images.device, non_blocking=True) * 2 - 1
    angle = draws[0] * math.radians(rotate)
    slant = torch.tan(draws[1] * math.radians(shear))
    inverse_scale = 1 / (1 + draws[2] * zoom)
    cos, sin = angle.cos() * inverse_scale, angle.sin() * inverse_scale
    rows = [
        torch.stack([cos, (cos * slant - sin) * (height / width), draws[3] * (2 * translate / width)], dim=-1),
        torch.stack([sin * (width / height), sin * slant + cos, draws[4] * (2 * translate / height)], dim=-1),
    ]
    return F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)


def elastic_displacements(images: Tensor, generator: torch.Generator, alpha: float, sigma: float) -> Tensor:
    """Displaces neighbouring pixels alike, and distant ones independently of each other.

    For each image and axis the displacement of pixel (i, j) in pixels is

        alpha * sum over (k, l) of g(i - k) g(j - l) u(k, l)

    with u(k, l) independent and uniform from -1 to 1 at the pixels of the image and 0 outside, and the Gaussian
    g(d) = exp(-d^2 / (2 sigma^2)) / Z, where Z makes g sum to 1 over all integers. Nothing is cut off or renormalised
    at the border: as u is 0 beyond it, displacements are smaller there. Far from it their standard deviation is
    alpha / (sigma sqrt(12 pi)) if sigma is 1 or more: 1.38 pixels for alpha = 34, sigma = 4.

    Source: Simard, Steinkraus, Platt, "Best practices for convolutional neural networks applied to visual document
    analysis", ICDAR 2003, section 2.

    Args:
        images: Images `[B, C, H, W]`, for their shape and device.
        generator: The only source of randomness; advanced by `2 B H W` numbers.
        alpha: Strength in pixels.
        sigma: Standard deviation of the Gaussian in pixels, above 0.

    Returns:
        Displacements `[2, B, H, W]` in pixels, along x (to the right) and y (downwards), of the place that a pixel of
        the result comes from.
    """
    height, width = images.shape[-2:]
    noise = torch.rand(2, len(images), height, width, generator=generator, device=generator.device)
    noise = noise.to(images.device, non_blocking=True).mul_(2).sub_(1)
    # The sums over k and over l as products with matrices, which hold all of the Gaussian.
    down, across = (_gaussian(length, sigma).to(images.device) for length in (height, width))
    return down @ noise @ (alpha * across)


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Takes each pixel of the result from a place in the image.

    Pixels are interpolated linearly and rounded to integers, so that they stay on the grid that a first layer in
    integers needs; what comes in from outside is 0.

    Args:
        images: uint8 images `[B, C, H, W]`; left unchanged.
        grid: The places `[B, H, W, 2]`, see `affine_grid`.

    Returns:
        New uint8 images `[B, C, H, W]` on the same device.

    Example:
        >>> image = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3)
        >>> torch.equal(sample(image, affine_grid(image, torch.Generator(), 0, 0, 0, 0)), image)
        True
    """
    moved = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.round_().to(torch.uint8)


@functools.lru_cache(maxsize=8)
def _gaussian(length: int, sigma: float) -> Tensor:
    """g(i - k) of `elastic_displacements`, `[length, length]`, float32 on the CPU."""
    reach = max(length, math.ceil(10 * sigma))  # beyond which even the sum of g is below 1e-20
    distances = torch.arange(-reach, reach + 1, dtype=torch.float64)
    total = (-((distances / sigma) ** 2) / 2).exp().sum()
    places = torch.arange(length, dtype=torch.float64)
    return ((-(((places[:, None] - places) / sigma) ** 2) / 2).exp() / total).float()
