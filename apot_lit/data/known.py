"""What is known of the official data sets: their shapes, classes, sizes, files and checksums."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from apot_lit.installed import place

OfficialSet = Literal["train", "test"]


@dataclass(frozen=True)
class KnownSet:
    """An official data set.

    Attributes:
        title: its name, for people.
        torchvision: the class of `torchvision.datasets` that downloads it.
        folder: the directory that this class keeps it in.
        channels: of an image.
        size: height and width of an image.
        class_names: what each label stands for.
        sizes: number of images in each official set.
        md5_sums: name of each file that is read here -> MD5 of its decompressed contents, in hexadecimal.
        system: directory where a system package keeps these files.
    """

    title: str
    torchvision: str
    folder: str
    class_names: tuple[str, ...]
    channels: int = 1
    size: int = 28
    sizes: Mapping[OfficialSet, int] = field(default_factory=lambda: {"train": 60_000, "test": 10_000})
    md5_sums: Mapping[str, str] = field(default_factory=dict)
    system: str | None = None


KNOWN = {
    "mnist": KnownSet(
        "MNIST",
        "MNIST",
        "MNIST",
        tuple("0123456789"),
        md5_sums={
            "train-images-idx3-ubyte.xz": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte.xz": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte.xz": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte.xz": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion_mnist": KnownSet(
        "Fashion-MNIST",
        "FashionMNIST",
        "FashionMNIST",
        ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        md5_sums={
            "train-images-idx3-ubyte.gz": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte.gz": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte.gz": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte.gz": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        system="/usr/share/datasets/fashion-mnist",  # Debian's package dataset-fashion-mnist
    ),
    "kmnist": KnownSet(
        "Kuzushiji-MNIST", "KMNIST", "KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    ),
    "cifar10": KnownSet(
        "CIFAR-10",
        "CIFAR10",
        "cifar-10-batches-py",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        channels=3,
        size=32,
        sizes={"train": 50_000, "test": 10_000},
    ),
}
"""Every official set, by the name that ``data.source`` has for it."""


def usual_directory(source: str, root: str | Path) -> str:
    """Where the files of a data set usually lie.

    Args:
        source: as ``data.source`` says it.
        root: the project's directory.

    Returns:
        ``data/<source>`` below the root; where that is missing, a system package's directory, if there is one. MNIST
        comes with the project.
    """
    if source == "mnist":
        return place("digits")
    own = Path(root) / "data" / source
    system = KNOWN[source].system if source in KNOWN else None
    return str(own) if system is None or own.is_dir() or not Path(system).is_dir() else system
