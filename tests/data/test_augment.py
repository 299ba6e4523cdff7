"""Flips against torch.flip; affine changes against what they do to a single bright pixel."""

import torch

from apot_lit.data.augment import Augmentation, affine_grid, random_horizontal_flip, sample


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


def affine(images: torch.Tensor, seed: int = 0, **limits: float) -> torch.Tensor:
    every = {"rotate": 0.0, "translate": 0.0, "zoom": 0.0, "shear": 0.0} | limits
    return sample(images, affine_grid(images, torch.Generator().manual_seed(seed), **every))


def dot(row: int, column: int, count: int = 400) -> torch.Tensor:
    images = torch.zeros(count, 1, 29, 29, dtype=torch.uint8)
    images[:, 0, row, column] = 255
    return images


def centre(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of the centre of mass of each image, from the centre of the image."""
    mass = images[:, 0].double()
    axis = torch.arange(29.0).double() - 14
    total = mass.sum((1, 2))
    return (mass.sum(2) @ axis) / total, (mass.sum(1) @ axis) / total


def test_nothing_changes_at_limits_of_0() -> None:
    images = torch.randint(256, (20, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(affine(images), images)
    assert not Augmentation()
    assert torch.equal(Augmentation(shear=0.0)(images, torch.Generator()), images)


def test_shifts_are_uniform_up_to_their_limit() -> None:
    rows, columns = centre(affine(dot(14, 14), translate=3.0))
    for shift in (rows, columns):
        assert shift.abs().max() < 3.05
        assert shift.abs().max() > 2.9
        assert abs(shift.mean()) < 0.35  # 4 standard deviations of the mean of 400
        assert 1.5 < shift.std() < 2.0  # of a uniform law: 3 / sqrt 3 = 1.73
    assert abs(torch.corrcoef(torch.stack([rows, columns]))[0, 1]) < 0.2


def test_a_rotation_keeps_the_distance_from_the_centre_and_stays_in_its_limit() -> None:
    rows, columns = centre(affine(dot(14, 24), rotate=20.0))
    assert torch.allclose((rows**2 + columns**2).sqrt(), torch.tensor(10.0).double(), atol=0.3)
    angles = torch.atan2(rows, columns).rad2deg()
    assert 18 < angles.max() < 21.5
    assert -21.5 < angles.min() < -18


def test_zoom_scales_both_axes_alike() -> None:
    rows, columns = centre(affine(dot(20, 24), zoom=0.2))
    assert torch.allclose(rows / columns, torch.tensor(0.6).double(), atol=0.08)
    assert 0.75 < columns.min() / 10 < 0.85
    assert 1.15 < columns.max() / 10 < 1.25


def test_shear_moves_rows_sideways_in_proportion_to_their_height() -> None:
    rows, columns = centre(affine(dot(4, 14), shear=10.0))
    assert (rows + 10).abs().max() < 0.3
    assert 1.5 < columns.max() < 2.0  # 10 tan 10 degrees = 1.76
    assert -2.0 < columns.min() < -1.5
    assert centre(affine(dot(14, 14), shear=10.0))[1].abs().max() < 0.05


def test_what_comes_in_is_background_and_pixels_stay_integers() -> None:
    bright = torch.full((50, 1, 28, 28), 255, dtype=torch.uint8)
    moved = affine(bright, translate=6.0)
    assert moved.dtype == torch.uint8
    assert moved.min() == 0
    assert moved[:, :, 14, 14].min() == 255


def test_each_augmentation_is_drawn_from_the_generator_alone() -> None:
    images = torch.randint(256, (30, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    augmentation = Augmentation(flip=True, rotate=10, translate=2, zoom=0.1, shear=5)
    assert augmentation
    once, again, other = (augmentation(images, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
