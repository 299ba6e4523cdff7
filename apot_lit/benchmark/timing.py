"""Timing on a busy machine: interleaved repeats, ratios within a repeat, medians and quartiles."""

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MAX_CALLS = 10_000


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Timer:
    """Times functions in turns: a, b, c, a, b, c, ..., so that what slows the machine down slows all of them.

    Attributes:
        repeats: how often each function is timed, at least 1.
        warmup: calls of each function before.
        min_seconds: a function faster than this is called several times for one timing.
        synchronize: waits for the device; called at both ends of every timing.
        clock: a clock in seconds.
    """

    repeats: int
    warmup: int = 2
    min_seconds: float = 0.02
    synchronize: Callable[[], object] = _nothing
    clock: Callable[[], float] = time.perf_counter

    def interleaved(self, functions: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
        """Times the functions.

        Args:
            functions: name to function.

        Returns:
            Name to milliseconds of one call, one number for each repeat.
        """
        calls: dict[str, int] = {}
        for name, function in functions.items():
            for _ in range(self.warmup):
                function()
            once = self.seconds(function)
            calls[name] = min(MAX_CALLS, max(1, math.ceil(self.min_seconds / once))) if once > 0 else MAX_CALLS
        times: dict[str, list[float]] = {name: [] for name in functions}
        collecting = gc.isenabled()
        gc.disable()
        try:
            for _ in range(self.repeats):
                for name, function in functions.items():
                    times[name].append(1000 * self.seconds(function, calls[name]))
        finally:
            if collecting:
                gc.enable()
        return times

    def seconds(self, function: Callable[[], object], calls: int = 1) -> float:
        """Mean seconds of one of several calls."""
        self.synchronize()
        started = self.clock()
        for _ in range(calls):
            function()
        self.synchronize()
        return (self.clock() - started) / calls


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles.

    Examples:
        >>> summary([4.0, 1.0, 2.0, 3.0, 10.0])
        {'median': 3.0, 'q1': 2.0, 'q3': 4.0}
    """
    q1, median, q3 = (float(value) for value in np.percentile(values, [25, 50, 75]))
    return {"median": median, "q1": q1, "q3": q3}


def ratio(times: Sequence[float], base: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of the ratios within each repeat.

    Examples:
        >>> ratio([2.0, 30.0, 4.0], [1.0, 10.0, 4.0])["median"]
        2.0
    """
    return summary([time_ / other for time_, other in zip(times, base, strict=True)])
