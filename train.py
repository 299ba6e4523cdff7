"""Trains a quantised network: ``python train.py model=resnet18 quant.bit=3``; with ``-m`` or ``sweep=tables`` many."""

from apot_lit.commands import train

if __name__ == "__main__":
    train()
