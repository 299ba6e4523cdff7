"""Exports a checkpoint as real integers: ``python export.py ckpt_path=... format=onnx`` (or packed, header, verify)."""

from apot_lit.commands import export

if __name__ == "__main__":
    export()
