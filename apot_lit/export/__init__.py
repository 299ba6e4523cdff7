"""Trained networks as real integers: ONNX, packed weights, C source; what they cost; proof that they are the same."""

from apot_lit.export.packed import load_packed, save_packed

__all__ = ["load_packed", "save_packed"]
