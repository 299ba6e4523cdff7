"""Numbers and tables for the terminal."""

from typing import Any

from tabulate import tabulate


def percent(accuracy: float | None) -> str:
    """Formats an accuracy between 0 and 1 as percents, or a dash for None."""
    return "-" if accuracy is None else f"{100 * accuracy:.2f} %"


def text_table(rows: list[list[Any]], headers: list[str]) -> str:
    """Formats rows as a table for the terminal."""
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def counted(number: int, thing: str) -> str:
    """A number of things: ``1 epoch``, ``25 epochs``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
