"""How much of a machine's processors other work used while something was measured."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")


class Ticks(NamedTuple):
    """Time of all processors since the machine started, in ticks of the system's clock."""

    busy: int
    total: int


@dataclass(frozen=True)
class Moment:
    """The clocks at one time.

    Attributes:
        ticks: of all processors; None where the system does not tell.
        own_seconds: of processors, that the ended processes which this one started have used so far.
    """

    ticks: Ticks | None
    own_seconds: float


def parse_stat(text: str) -> Ticks:
    """Reads the line of all processors in a text like that of ``/proc/stat``.

    Its numbers are user, nice, system, idle, iowait, irq, softirq and steal; guests that follow are part of user and
    nice. Time that the host gave to other machines (steal) counts as busy. Source: the manual page proc_stat(5).

    Raises:
        ValueError: if there is no such line.

    Examples:
        >>> parse_stat("cpu  10 1 5 80 4 0 0 0 0 0")
        Ticks(busy=16, total=100)
    """
    for line in text.splitlines():
        name, *numbers = line.split() or [""]
        if name == "cpu" and len(numbers) >= 8:
            times = [int(number) for number in numbers[:8]]
            return Ticks(sum(times) - times[3] - times[4], sum(times))
    raise ValueError("no line of all processors")


def now() -> Moment:
    """Reads the clocks."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Moment(_ticks(), used.ru_utime + used.ru_stime)


def other_work(before: Moment, after: Moment, ticks_per_second: int | None = None) -> float | None:
    """The share of all processors' time between two moments that others used.

    It is ``(busy - own) / total``, and at least 0: the clocks have different steps.

    Args:
        before: the first moment.
        after: the second one.
        ticks_per_second: of the system's clock; None: as the system says.

    Returns:
        A number from 0 to 1, None where the system does not tell.
    """
    if before.ticks is None or after.ticks is None or after.ticks.total <= before.ticks.total:
        return None
    own = (after.own_seconds - before.own_seconds) * (ticks_per_second or os.sysconf("SC_CLK_TCK"))
    busy = after.ticks.busy - before.ticks.busy
    return max(0.0, (busy - own) / (after.ticks.total - before.ticks.total))


def _ticks() -> Ticks | None:
    try:
        return parse_stat(_STAT.read_text())
    except (OSError, ValueError):
        return None
