"""Lightning callbacks."""

from apot_lit.callbacks.batch_norm import ReestimatedBatchNorm
from apot_lit.callbacks.finite_loss import FiniteLoss
from apot_lit.callbacks.initial_thresholds import InitialThresholds
from apot_lit.callbacks.moving_average import MovingAverage
from apot_lit.callbacks.progress import TrainingProgress
from apot_lit.callbacks.thresholds import ClippingThresholds
from apot_lit.callbacks.wall_clock import WallClock

__all__ = [
    "ClippingThresholds",
    "FiniteLoss",
    "InitialThresholds",
    "MovingAverage",
    "ReestimatedBatchNorm",
    "TrainingProgress",
    "WallClock",
]
