"""Numbers and tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate


def percent(accuracy: float | None) -> str:
    """Formats an accuracy between 0 and 1 as percents, or a dash for None."""
    return "-" if accuracy is None else f"{100 * accuracy:.2f} %"


def text_table(rows: list[list[Any]], headers: list[str]) -> str:
    """Formats rows as a table for the terminal."""
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def counted(number: int, thing: str) -> str:
    """A number of things: ``1 epoch``, ``10,000 images``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def network_name(model: str, stem: str) -> str:
    """A network for people, with its stem unless that is the published one: ``resnet10, small stem``."""
    return model if stem == "reference" else f"{model}, {stem} stem"


def processor(hardware: Mapping[str, Any]) -> str:
    """What a result file says of its CPU: ``Z80, 2 threads``."""
    return f"{hardware['cpu']}, {counted(hardware['threads'], 'thread')}"


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
