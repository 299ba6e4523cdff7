"""Evaluates a checkpoint: ``python evaluate.py ckpt_path=outputs/train/<run>/checkpoints/best.ckpt``."""

from apot_lit.commands import evaluate

if __name__ == "__main__":
    evaluate()
