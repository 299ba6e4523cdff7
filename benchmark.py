"""Measures what quantised training costs: ``python benchmark.py``, or ``benchmark=full`` for every bit width."""

from apot_lit.commands import benchmark

if __name__ == "__main__":
    benchmark()
