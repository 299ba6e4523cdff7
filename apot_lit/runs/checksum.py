"""A checksum over everything that a checkpoint or packed file says, so that a changed file is noticed."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def checksum(content: Any) -> str:
    """SHA-256 over plain containers, numbers, texts and tensors, in hexadecimal.

    Equal contents have equal checksums, whatever the device, memory format or sharing of their tensors.

    Args:
        content: mappings (in their order), sequences, tensors, numbers, strings, bytes, None, at any depth.

    Raises:
        TypeError: for anything else.

    Examples:
        >>> checksum({"a": torch.zeros(2)}) == checksum({"a": torch.zeros(4)[::2]})
        True
        >>> checksum({"a": 1}) == checksum({"a": 1.0})
        False
    """
    digest = hashlib.sha256()
    _add(digest, content)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        dense = value.detach().cpu().contiguous()
        digest.update(f"tensor {dense.dtype} {tuple(dense.shape)} ".encode())
        digest.update(dense.flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for key, item in value.items():
            _add(digest, key)
            _add(digest, item)
    elif isinstance(value, bytes):
        digest.update(f"bytes {len(value)} ".encode() + value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        digest.update(f"sequence {len(value)} ".encode())
        for item in value:
            _add(digest, item)
    elif value is None or isinstance(value, str | int | float):
        text = repr(value)
        digest.update(f"{type(value).__name__} {len(text)} {text}".encode())
    else:
        raise TypeError(f"{type(value).__name__} can't be in a checksum")
