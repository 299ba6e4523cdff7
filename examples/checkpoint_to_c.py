"""From a trained network to integers to C: the compiled C gives the same logits as Python, to the last bit.

    python examples/checkpoint_to_c.py [CHECKPOINT] [--output DIRECTORY]

CHECKPOINT is any best.ckpt of train.py on MNIST or a packed file; by default a small network of pretrained/.
Needs a C compiler (cc, or what $CC names) and takes about ten seconds on one core of a CPU.
"""

import argparse
from pathlib import Path

import numpy as np

from apot_lit import Network, export_network, load_digits, read_any_trained
from apot_lit.integer import Executor

SMALL = Path(__file__).resolve().parent.parent / "pretrained/small/resnet10_width8_3bit_apot.safetensors"


def main() -> None:
    """Exports a network and compares both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", type=Path, default=SMALL, help="a checkpoint or a packed file")
    parser.add_argument("--output", type=Path, default=Path("outputs/examples"), help="directory that net_c/ goes into")
    options = parser.parse_args()

    # 1. The network in floats, as it was trained.
    trained = read_any_trained(options.checkpoint)
    print(f"{options.checkpoint.name}: {trained.config['model']['name']}, {trained.config['quant']['bit']} bits")

    # 2. As integers, and these as C source. Some training images choose the range of what is not codes.
    train_images, _ = load_digits("train")
    options.output.mkdir(parents=True, exist_ok=True)
    found = export_network(trained.network, train_images[:500], options.output / "net_c", "c", overwrite=True)
    print(f"written: {found.path}, {len(found.integers.steps)} steps of integers")

    # 3. The C, compiled here and called from Python, against the reference executor in torch.
    compiled = Network(found.path)
    images, labels = load_digits("test")
    images, labels = images[:1000], labels[:1000]
    of_c = compiled(images.numpy())
    of_python = Executor(found.integers)(images).numpy()
    print(f"C, computing with {compiled.kernels}: logits of the first digit {of_c[0].tolist()}")
    print(f"equal logits: {int((of_c == of_python).all(1).sum())} of {len(images)}")
    accuracy = float(np.mean(of_c.argmax(1) == labels.numpy()))
    print(f"accuracy of the C program: {accuracy:.3f}")


if __name__ == "__main__":
    main()
