"""Trains a quantised network, or with ``sweep=tables`` many: ``python train.py model=resnet18 quant.bit=3``."""

from apot_lit.commands import train

if __name__ == "__main__":
    train()
