"""Lightning callbacks."""

from apot_lit.training.callbacks.batch_norm import ReestimatedBatchNorm
from apot_lit.training.callbacks.finite_loss import FiniteLoss
from apot_lit.training.callbacks.history import History
from apot_lit.training.callbacks.initial_thresholds import InitialThresholds
from apot_lit.training.callbacks.integers import SimulatedIntegers
from apot_lit.training.callbacks.last_checkpoint import LastCheckpoint
from apot_lit.training.callbacks.moving_average import MovingAverage
from apot_lit.training.callbacks.operation_times import OperationTimes
from apot_lit.training.callbacks.progress import TrainingProgress
from apot_lit.training.callbacks.snapshots import Snapshots
from apot_lit.training.callbacks.thresholds import ClippingThresholds
from apot_lit.training.callbacks.wall_clock import WallClock

__all__ = [
    "ClippingThresholds",
    "FiniteLoss",
    "History",
    "InitialThresholds",
    "LastCheckpoint",
    "MovingAverage",
    "OperationTimes",
    "ReestimatedBatchNorm",
    "SimulatedIntegers",
    "Snapshots",
    "TrainingProgress",
    "WallClock",
]
