"""Flips against torch.flip."""

import torch

from apot_lit.data.augment import random_horizontal_flip


def test_each_image_is_flipped_or_kept_about_half_each() -> None:
    images = torch.randint(256, (2000, 1, 5, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    result = random_horizontal_flip(images, torch.Generator().manual_seed(2))
    flipped = (result == torch.flip(images, [3])).flatten(1).all(1)
    kept = (result == images).flatten(1).all(1)
    assert (flipped ^ kept).all()
    assert 900 < flipped.sum() < 1100  # 4.5 standard deviations
    assert torch.equal(images, before)
    assert result.dtype == torch.uint8


def test_the_generator_decides() -> None:
    images = torch.arange(64, dtype=torch.uint8).reshape(16, 1, 2, 2)
    once, again, other = (random_horizontal_flip(images, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
