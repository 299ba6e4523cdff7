"""Both pipelines give the same images, up to their order and flips."""

import torch

from apot_lit.benchmark.pipeline_time import ImageDataset
from apot_lit.models import PixelInput


def test_the_images_are_those_of_our_loader():
    images = torch.randint(0, 256, (16, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    labels = torch.arange(16)
    pixels = PixelInput(33 / 255, 0.3081)
    dataset = ImageDataset(images, labels, pixels)
    assert len(dataset) == 16
    for index in range(16):
        image, label = dataset[index]
        expected = pixels(images[index])
        assert label == index
        assert any(torch.allclose(image, option, atol=1e-5) for option in (expected, expected.flip(-1)))
