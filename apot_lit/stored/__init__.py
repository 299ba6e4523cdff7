"""Trained networks on disk: checkpoints, files of the reference implementation, packed files."""

from apot_lit.stored.packed import Packed, load_packed, read_packed, save_packed

__all__ = ["Packed", "load_packed", "read_packed", "save_packed"]
