"""Images per second of the input pipeline, against torchvision's transforms in a DataLoader with worker processes."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from apot_lit.benchmark.setting import WORKERS, Setting
from apot_lit.benchmark.timing import Timer, ratio, summary
from apot_lit.models.input import PixelInput

_MAX_REPEATS = 5


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """The images one by one as `torchvision.datasets.MNIST` gives them, flipped and normalised by its transforms.

    Args:
        images: uint8 images ``[N, 1, 28, 28]`` on the CPU.
        labels: labels ``[N]``.
        pixels: mean and standard deviation.
    """

    def __init__(self, images: Tensor, labels: Tensor, pixels: PixelInput) -> None:
        self.images = images[:, 0]
        self.labels = labels
        self.transform = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.RandomHorizontalFlip(),
                transforms.Normalize((pixels.mean,), (pixels.std,)),
            ]
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Returns a transformed image and its label."""
        image = Image.fromarray(self.images[index].numpy())
        return self.transform(image), int(self.labels[index])


def measure_pipeline(setting: Setting, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Times one pass over shuffled, flipped, normalised training images, batches on the device.

    Args:
        setting: of the benchmark.
        steps: what `measure_steps` returned.

    Returns:
        ``images_per_second`` and ``ms`` of both pipelines, ``speedup``, ``batch_ms``, and ``step_share``: the
        pipeline's share of the step of ``step_model`` in float32 and eager mode.
    """
    count, batch_size = setting.config["pipeline_images"], setting.config["data"]["batch_size"]
    print(f"input pipeline: {count} images", flush=True)
    ours = setting.loader("train", count, batch_size, train=True)
    pixel_input = setting.pixel_input
    images, labels = (tensor.cpu() for tensor in setting.images("train", count))
    theirs = DataLoader(
        ImageDataset(images, labels, setting.pixel_input),
        batch_size,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,  # their start is not counted
    )

    def run_ours() -> None:
        for batch_images, _labels in ours:
            pixel_input(batch_images)  # part of the network, but theirs has it in the loader

    def run_theirs() -> None:
        for batch_images, batch_labels in theirs:
            batch_images.to(setting.device), batch_labels.to(setting.device)

    timer = Timer(min(_MAX_REPEATS, setting.timer.repeats), warmup=0, synchronize=setting.timer.synchronize)
    with torch.no_grad():
        times = timer.interleaved({"ours": run_ours, "torchvision": run_theirs})
    batch_ms = summary(times["ours"])["median"] / len(ours)
    model = setting.config["models"][0]
    step_ms = min(row["float_ms"]["median"] for row in steps if row["model"] == model)
    return {
        "images": count,
        "workers": WORKERS,
        "ms": {name: summary(values) for name, values in times.items()},
        "images_per_second": {name: 1000 * count / summary(values)["median"] for name, values in times.items()},
        "speedup": ratio(times["torchvision"], times["ours"]),
        "batch_ms": batch_ms,
        "step_model": model,
        "step_share": batch_ms / step_ms,
    }
