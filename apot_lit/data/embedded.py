"""Reads official sets: MNIST from its embedded files, others from files in the same form, or by torchvision."""

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apot_lit.data.idx import one_line, parse_idx, read_verified
from apot_lit.data.known import KNOWN, KnownSet, OfficialSet
from apot_lit.errors import UserError
from apot_lit.installed import place

_PREFIXES: dict[OfficialSet, str] = {"train": "train", "test": "t10k"}
_HOW_TO_DOWNLOAD = (
    "to download them there give data.download=true, or download=true to evaluate.py, export.py and report.py"
)


def load_digits(split: OfficialSet = "train") -> tuple[Tensor, Tensor]:
    """Loads MNIST's handwritten digits, which every installation brings.

    Each set is unpacked once per process: later calls return the same tensors, which must not be written to.

    Args:
        split: "train" for 60,000 digits, "test" for 10,000 others.

    Returns:
        Images `[N, 1, 28, 28]`, uint8 pixels 0..255, and labels `[N]`, int64 classes 0..9, both on the CPU.

    Raises:
        UserError: For another split, and if a file is damaged or missing.

    Examples:
        >>> images, labels = load_digits("test")
        >>> images.shape, labels[:5].tolist()
        (torch.Size([10000, 1, 28, 28]), [7, 2, 1, 0, 4])
    """
    if split not in _PREFIXES:
        raise UserError(f"split={split}: must be one of {', '.join(_PREFIXES)}")
    return load_idx_pair(place("digits"), split)


def load_idx_pair(
    directory: str | Path, split: OfficialSet, download: bool = False, source: str = "mnist"
) -> tuple[Tensor, Tensor]:
    """Loads one official set of MNIST, or of another known set, from its files or else by torchvision.

    Each set is unpacked once per process: later calls return the same tensors, which must not be written to.

    Args:
        directory: Holds the four files, `.xz` of MNIST and `.gz` of others. Where it holds none of them (an installed
            wheel, say), it is the root given to torchvision, which finds the set there if it was downloaded before.
        split: "train" or "test", of MNIST 60,000 and 10,000 images.
        download: Whether torchvision may download the set to the directory.
        source: A key of `KNOWN`.

    Returns:
        Images `[N, C, H, W]`, uint8 pixels 0..255, and labels `[N]`, int64 classes, both on the CPU.

    Raises:
        UserError: If a file is damaged or some of the four are missing, if there are none and no download was asked
            for, or if the download fails.
    """
    return _load(Path(directory).expanduser().resolve(), split, download, source)


def has_files(directory: str | Path, source: str = "mnist") -> bool:
    """Tells whether the directory holds the files of a set.

    Args:
        directory: Where to look.
        source: A key of `KNOWN`.

    Returns:
        True where all four files are there, False where none is.

    Raises:
        UserError: If only some of them are there.
    """
    known = KNOWN[source]
    directory = Path(directory).expanduser().resolve()
    missing = [name for name in known.md5_sums if not (directory / name).exists()]
    if missing and len(missing) < len(known.md5_sums):
        raise UserError(f"{directory}: missing {', '.join(missing)}, while the other files of {known.title} are there")
    return bool(known.md5_sums) and not missing


@functools.lru_cache(maxsize=8)
def _load(directory: Path, split: OfficialSet, download: bool, source: str) -> tuple[Tensor, Tensor]:
    known = KNOWN[source]
    if has_files(directory, source):
        images, labels = _read_files(directory, split, known)
    else:
        images, labels = _read_by_torchvision(directory, split, download, known)
    shape, count = (known.channels, known.size, known.size), known.sizes[split]
    if images.shape != (count, *shape) or labels.shape != (count,):
        raise UserError(
            f"{directory}: the {split} set of {known.title} has {count} images of {' x '.join(map(str, shape))} pixels,"
            f" found images {list(images.shape)} and labels {list(labels.shape)}"
        )
    return images, labels.long()


def _read_files(directory: Path, split: OfficialSet, known: KnownSet) -> tuple[Tensor, Tensor]:
    names = [name for name in known.md5_sums if name.startswith(_PREFIXES[split])]
    size = known.sizes[split]
    images, labels = (
        torch.from_numpy(parse_idx(read_verified(directory / name, known.md5_sums[name], header + elements)))
        for name, header, elements in zip(names, (16, 8), (size * 28 * 28, size), strict=True)
    )
    return images.unsqueeze(1), labels


def _read_by_torchvision(directory: Path, split: OfficialSet, download: bool, known: KnownSet) -> tuple[Tensor, Tensor]:
    looked_for = ", ".join(known.md5_sums) or known.folder
    missing = f"{directory}: holds no {known.title} files (looked for {looked_for})"
    if not download and not (directory / known.folder).is_dir():
        raise UserError(f"{missing}; {_HOW_TO_DOWNLOAD}")
    try:
        # Imported here because it is slow to import and seldom needed.
        from torchvision import datasets

        reader = getattr(datasets, known.torchvision)
        dataset: Any = reader(root=str(directory), train=split == "train", download=download)
    except Exception as error:  # whatever goes wrong (network, disk, permissions), the user needs one line
        if not download:
            raise UserError(
                f"{directory}/{known.folder}: an incomplete download: {one_line(error)}; {_HOW_TO_DOWNLOAD}"
            ) from error
        raise UserError(f"{missing}, and their download failed: {one_line(error)}") from error
    images, labels = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets)
    # In grey [N, H, W], in colour [N, H, W, C].
    return (images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()), labels
