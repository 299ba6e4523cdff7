"""Images and labels in one file: tensors that torch saved, or NumPy's arrays; no code in them is ever run."""

import functools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from apot_lit.data.divide import Division, Shape, checked, divided
from apot_lit.data.idx import one_line
from apot_lit.data.known import OfficialSet
from apot_lit.errors import UserError

_SUFFIXES = (".pt", ".npz")
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@functools.lru_cache(maxsize=4)
def load_arrays(place: Path, split: OfficialSet, shape: Shape, division: Division) -> tuple[Tensor, Tensor]:
    """Loads the training or test set from files of arrays.

    A file holds ``images``, uint8 ``[N, C, H, W]`` or, in grey, ``[N, H, W]``, and ``labels``, integers ``[N]``: a
    dictionary of tensors that `torch.save` wrote (``.pt``), or arrays that `numpy.savez` wrote (``.npz``).

    Args:
        place: Directory of ``train.pt`` or ``train.npz`` and perhaps of ``test.pt`` or ``test.npz``, or the one file.
        split: "train" or "test".
        shape: Channels, size and number of classes that the images must have.
        division: Number of test images that are taken where there is no test file, and the seed that chooses them.

    Returns:
        uint8 images `[N, C, H, W]` and int64 labels `[N]`.

    Raises:
        UserError: If a file is missing, damaged or holds anything else.
    """
    if not place.exists():
        raise UserError(f"data.data_dir={place}: there is no such file or directory")
    if place.is_file():
        return divided(*_read(place, shape), split, division, place)
    files = {one: [place / f"{one}{suffix}" for suffix in _SUFFIXES] for one in ("train", "test")}
    found = {one: next((path for path in paths if path.is_file()), None) for one, paths in files.items()}
    if found["train"] is None:
        raise UserError(f"data.data_dir={place}: must be a file, or hold {' or '.join(p.name for p in files['train'])}")
    if found["test"] is None:
        return divided(*_read(found["train"], shape), split, division, place)
    if division[0]:
        raise UserError(f"data.test_split={division[0]}: must be 0, as there is {found['test']}")
    path = found[split]
    assert path is not None
    return _read(path, shape)


def _read(path: Path, shape: Shape) -> tuple[Tensor, Tensor]:
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{path}: must end in {' or '.join(_SUFFIXES)}")
    try:
        content = _torch_file(path) if path.suffix == ".pt" else _numpy_file(path)
    except Exception as error:  # a foreign file makes torch and NumPy raise anything
        reason = one_line(error).partition(". ")[0][:120]
        raise UserError(f"{path}: can't be read as arrays without code ({type(error).__name__}: {reason})") from error
    if not isinstance(content, dict) or not {"images", "labels"} <= content.keys():
        raise UserError(f"{path}: must hold images and labels, by these names")
    images, labels = content["images"], content["labels"]
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        raise UserError(f"{path}: images are {_kind(images)}, must be uint8")
    if not isinstance(labels, Tensor) or labels.dtype not in _INTEGERS:
        raise UserError(f"{path}: labels are {_kind(labels)}, must be integers")
    if images.ndim == 3:
        images = images.unsqueeze(1)
    return checked(images, labels.long(), shape, str(path))


def _torch_file(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _numpy_file(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise ValueError("not a file that numpy.savez wrote")
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in ("images", "labels") if name in file}


def _kind(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else type(value).__name__
