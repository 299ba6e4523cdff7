"""Lightning callbacks."""

from apot_lit.callbacks.finite_loss import FiniteLoss
from apot_lit.callbacks.progress import TrainingProgress
from apot_lit.callbacks.thresholds import ClippingThresholds

__all__ = ["ClippingThresholds", "FiniteLoss", "TrainingProgress"]
