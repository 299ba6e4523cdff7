"""Training and evaluating neural networks quantised to sums of powers of two (APoT)."""

__version__ = "0.1.0"
