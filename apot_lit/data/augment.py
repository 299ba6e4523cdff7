"""Augmentation of whole batches."""

import torch
from torch import Tensor


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
    flipped = (coins < 0.5).to(images.device)
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)
