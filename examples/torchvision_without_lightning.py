"""Quantises torchvision's ResNet-18 to 4 bits and trains it on digits in a plain loop of torch, without Lightning.

    python examples/torchvision_without_lightning.py [--steps 60]

quantize_model gives a module like any other: its weights and clipping thresholds are parameters, and any optimizer
trains them. The network is new, so it learns everything in these steps; the default ones take about half a minute on
one core of a CPU.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from apot_lit import PixelInput, QuantSpec, load_digits, quantize_model

BATCH = 64
TEST_IMAGES = 500


def build() -> nn.Module:
    """A quantised network from uint8 pixels to logits."""
    float_network = resnet18(num_classes=10)
    float_network.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)  # digits are grey: one channel
    # With PixelInput before it, the first layer computes on the integers of the pixels.
    return quantize_model(nn.Sequential(PixelInput(mean=33 / 255, std=0.3081), float_network), QuantSpec(bit=4))


def train(network: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """One step for each batch."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    for step in range(steps):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        loss = F.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9:
            print(f"step {step + 1}: loss {loss.item():.2f}", flush=True)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images that are classified right."""
    return (network.eval()(images).argmax(1) == labels).float().mean().item()


def main() -> None:
    """Trains and tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help=f"training steps of {BATCH} digits")
    steps: int = parser.parse_args().steps
    torch.manual_seed(0)
    network = build()
    print(network[1].layer1[0].conv1)  # type: ignore[index]
    train(network, *load_digits("train"), steps)
    images, labels = load_digits("test")
    print(f"test accuracy {accuracy(network, images[:TEST_IMAGES], labels[:TEST_IMAGES]):.3f}")


if __name__ == "__main__":
    main()
