"""Elastic distortion against sums of its definition written out, and against images whose displacement is known."""

import math

import pytest
import torch

from apot_lit.data.augment import Augmentation, affine_grid, elastic_displacements, sample


def images(count: int = 20, height: int = 28, width: int = 28) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 1, height, width), dtype=torch.uint8, generator=generator)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_strength_0_changes_nothing_and_draws_nothing() -> None:
    affine = {"rotate": 10.0, "translate": 2.0, "zoom": 0.1, "shear": 5.0}
    without, off = seeded(), seeded()
    expected = sample(images(), affine_grid(images(), without, **affine))
    assert torch.equal(Augmentation(elastic=0.0, elastic_sigma=2.0, **affine)(images(), off), expected)
    assert torch.equal(without.get_state(), off.get_state())
    assert not Augmentation(elastic_sigma=2.0)
    assert Augmentation(elastic=1e-6)
    assert torch.equal(Augmentation(elastic=1e-6)(images(), seeded()), images())


@pytest.mark.parametrize("sigma", [0.6, 2.0, 40.0])
def test_displacements_are_the_sums_of_their_definition(sigma: float) -> None:
    count, height, width, alpha = 2, 5, 8, 30.0
    noise = (torch.rand(2, count, height, width, generator=seeded(3)).double() * 2 - 1).tolist()
    found = elastic_displacements(images(count, height, width), seeded(3), alpha, sigma)
    assert found.shape == (2, count, height, width)

    def bell(distance: int) -> float:
        return math.exp(-(distance**2) / (2 * sigma**2))

    total = sum(bell(distance) for distance in range(-1000, 1001))
    for axis, image, i, j in ((0, 0, 0, 0), (0, 1, 2, 4), (1, 0, 4, 7), (1, 1, 0, 5)):
        expected = 0.0
        for k in range(height):
            for m in range(width):
                expected += alpha * bell(i - k) * bell(j - m) / total**2 * noise[axis][image][k][m]
        assert float(found[axis, image, i, j]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_displacements_have_the_mean_and_deviation_that_they_should() -> None:
    field = elastic_displacements(images(2000, 29, 29), seeded(), 34.0, 3.0).double()
    middle, corner = field[..., 14, 14], field[..., 0, 0]
    usual = 34 / (3 * math.sqrt(12 * math.pi))
    assert abs(middle.mean()) < 4 * usual / math.sqrt(4000)
    assert middle.std() == pytest.approx(usual, rel=0.05)  # 4 standard deviations
    # A corner sums over a quarter of the plane, with the axes through the pixel: (1 + g(0)^2 / sum g^2) / 2 per axis.
    share = (1 + (1 / (3 * math.sqrt(2 * math.pi))) ** 2 * 6 * math.sqrt(math.pi)) / 2
    assert corner.std() == pytest.approx(usual * share, rel=0.05)
    # Correlation of neighbours at distance d is exp(-d^2 / (4 sigma^2)).
    for distance in (1, 4):
        pair = torch.stack([middle.flatten(), field[..., 14, 14 + distance].flatten()])
        assert float(torch.corrcoef(pair)[0, 1]) == pytest.approx(math.exp(-(distance**2) / 36), abs=0.03)
    assert abs(float(torch.corrcoef(middle)[0, 1])) < 0.1  # the axes are independent


def test_pixels_come_from_as_far_as_the_displacements_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a constant displacement of 2 to the right and 1 upwards, the image moves the other way; 0 comes in."""

    def constant(batch: torch.Tensor, *_: object) -> torch.Tensor:
        ones = torch.ones(len(batch), *batch.shape[-2:])
        return torch.stack([2 * ones, -ones])

    monkeypatch.setattr("apot_lit.data.augment.elastic_displacements", constant)
    before = images(3, 6, 10)
    after = Augmentation(elastic=1.0)(before, seeded())
    assert after.dtype == torch.uint8
    assert torch.equal(after[..., 1:, :-2], before[..., :-1, 2:])
    assert not after[..., 0, :].any()
    assert not after[..., -2:].any()


def test_affine_changes_flips_and_displacements_round_once() -> None:
    """The same flips and affine changes as without; the places of pixels add up before one interpolation."""
    affine = {"rotate": 10.0, "translate": 2.0, "zoom": 0.1, "shear": 5.0}
    found = Augmentation(flip=True, elastic=34.0, elastic_sigma=4.0, **affine)(images(), seeded(7))
    generator = seeded(7)
    flipped = torch.rand(20, generator=generator) < 0.5
    mirrored = torch.where(flipped[:, None, None, None], images().flip(-1), images())
    grid = affine_grid(mirrored, generator, **affine)
    x, y = elastic_displacements(mirrored, generator, 34.0, 4.0)
    expected = sample(mirrored, grid + torch.stack([x / 14, y / 14], dim=-1))
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found == expected).double().mean() > 0.999


def test_the_generator_decides_and_images_stay() -> None:
    before = images()
    augmentation = Augmentation(elastic=34.0)
    once, again, other = (augmentation(before, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(before, images())


def test_an_image_in_colour_moves_as_one() -> None:
    grey = images(4)
    moved = Augmentation(elastic=34.0)(grey.expand(-1, 3, -1, -1), seeded())
    assert torch.equal(moved, Augmentation(elastic=34.0)(grey, seeded()).expand(-1, 3, -1, -1))
