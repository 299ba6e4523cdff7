"""QuantClassifier with a Trainer, a network and data of one's own: 7 shapes, drawn at random, 20x20 pixels in colour.

    python examples/own_trainer.py [--output DIRECTORY]

No configuration is needed: the classifier gets a quantised network, the number of classes and the options of an
optimizer, and Lightning's Trainer does the rest. It trains, tests, writes own.ckpt and reads it again. Takes about ten
seconds on one core of a CPU.
"""

import argparse
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from apot_lit import PixelInput, QuantClassifier, QuantSpec, quantize_model

CLASSES, SIZE = 7, 20


def draw(count: int, seed: int) -> TensorDataset:
    """Shapes at random places in random colours, with noise: uint8 pictures [N, 3, 20, 20] and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centre = torch.randint(7, 13, (count, 2, 1, 1), generator=generator)
    y, x = torch.arange(SIZE).view(1, SIZE, 1) - centre[:, 0], torch.arange(SIZE).view(1, 1, SIZE) - centre[:, 1]
    square = torch.maximum(y.abs(), x.abs())  # the distance from the centre, as squares and as circles have it
    circle = (y**2 + x**2).float().sqrt()
    bars = [y.abs() < 2, x.abs() < 2, (y - x).abs() < 2, (y + x).abs() < 2]  # two upright, two leaning
    masks = [*(bar & (square < 7) for bar in bars), square < 5, (circle - 5).abs() < 1, (square - 5).abs() < 1]
    shape = torch.stack(masks, 1)[torch.arange(count), labels]
    colour = torch.randint(120, 256, (count, 3, 1, 1), generator=generator)
    noise = torch.randint(0, 100, (count, 3, SIZE, SIZE), generator=generator)
    return TensorDataset(torch.where(shape[:, None], colour, noise).to(torch.uint8), labels)


def build() -> nn.Module:
    """A quantised network from uint8 pixels to 7 logits."""
    network = nn.Sequential(
        PixelInput(mean=0.25, std=0.25),
        *(nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(12, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(24, 24, 3, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 9, CLASSES)),
    )
    return quantize_model(network, QuantSpec(bit=3))


def main() -> None:
    """Trains, tests, saves and loads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("outputs/examples"), help="directory of the checkpoint")
    output: Path = parser.parse_args().output
    pl.seed_everything(0)
    optimizer = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
    classifier = QuantClassifier(network=build(), num_classes=CLASSES, optimizer=optimizer)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(max_epochs=4, accelerator="cpu", default_root_dir=output, **quiet)  # type: ignore[arg-type]
    train = DataLoader(draw(1400, seed=1), batch_size=50, shuffle=True)
    trainer.fit(classifier, train, DataLoader(draw(350, seed=3), batch_size=50))
    test = DataLoader(draw(350, seed=2), batch_size=50)
    (metrics,) = trainer.test(classifier, test, verbose=False)
    print(f"test accuracy {metrics['test/acc']:.3f}")

    trainer.save_checkpoint(output / "own.ckpt")
    again = QuantClassifier.load_from_checkpoint(output / "own.ckpt", network=build())
    predicted: list[dict[str, Tensor]] = trainer.predict(again, test)  # type: ignore[assignment]
    right = sum(int((part["classes"] == labels).sum()) for part, (_, labels) in zip(predicted, test, strict=True))
    print(f"of 350 pictures the loaded network classifies {right} right")


if __name__ == "__main__":
    main()
