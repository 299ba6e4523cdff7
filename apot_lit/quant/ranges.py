"""What an option may be: declared beside its default, and checked by whatever takes it."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, Protocol


class Range(Protocol):
    """Tells which values are allowed, and says so: ``must be {range}``."""

    def __contains__(self, value: object) -> bool: ...


@dataclass(frozen=True)
class Integer:
    """Integers from `low` to `high`; None: as large as you like."""

    low: int
    high: int | None = None

    def __contains__(self, value: object) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value and (self.high is None or value <= self.high)  # type: ignore[operator]

    def __str__(self) -> str:
        return f"an integer {f'of at least {self.low}' if self.high is None else f'from {self.low} to {self.high}'}"


@dataclass(frozen=True)
class Number:
    """Numbers from `low` to `high`, the limits themselves left out with `above` and `below`."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        enough = value > self.low if self.above else value >= self.low
        return enough and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        low = f"above {self.low:.15g}, " if self.above else f"from {self.low:.15g} to "
        return f"a number {low}{'less than ' if self.below else 'at most ' if self.above else ''}{self.high:.15g}"


@dataclass(frozen=True)
class OneOf:
    """A few values, each of its own type: true is not 1.

    Attributes:
        choices: the values.
        note: what to say besides.
    """

    choices: Sequence[Any]
    note: str = ""

    def __contains__(self, value: object) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def __str__(self) -> str:
        shown = [as_written(choice) for choice in self.choices]
        return (" or ".join(shown) if len(shown) <= 2 else f"one of {', '.join(shown)}") + self.note


@dataclass(frozen=True)
class ListOf:
    """Lists.

    Attributes:
        item: what each value may be.
        length: how many there must be; None: any number.
        may_be_empty: whether there may be none.
        distinct: whether no two may be equal.
    """

    item: Range
    length: int | None = None
    may_be_empty: bool = False
    distinct: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, list | tuple) or self.length not in (None, len(value)):
            return False
        repeated = self.distinct and len(set(map(str, value))) < len(value)
        return bool(value or self.may_be_empty) and not repeated and all(each in self.item for each in value)

    def __str__(self) -> str:
        many = "" if self.may_be_empty else " of at least one" if self.length is None else f" of {self.length}"
        return f"a list{many}, {'all different, ' if self.distinct else ''}each {self.item}"


@dataclass(frozen=True)
class AnyOf:
    """What any of several ranges allows."""

    ranges: Sequence[Range]

    def __contains__(self, value: object) -> bool:
        return any(value in one for one in self.ranges)

    def __str__(self) -> str:
        return " or ".join(map(str, self.ranges))


TRUTH = OneOf((True, False))
NULL = OneOf((None,))


def or_null(range_: Range) -> AnyOf:
    """The range, and null besides."""
    return AnyOf((NULL, range_))


def option(default: Any, allowed: Range | None, meaning: str = "") -> Any:
    """A field of a dataclass with its default, what it may be (None: whatever its type allows) and what it means.

    Examples:
        >>> @dataclass(frozen=True)
        ... class Options:
        ...     rate: float = option(0.1, Number(0, 1))
        >>> check_options(Options(rate=2.0))
        Traceback (most recent call last):
            ...
        ValueError: rate=2.0: must be a number from 0 to 1
    """
    metadata = {"meaning": meaning, **({} if allowed is None else {"allowed": allowed})}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def required(meaning: str) -> Any:
    """A field of a dataclass that has no default, and what it means."""
    return field(metadata={"meaning": meaning})


def check(name: str, value: object, allowed: Range) -> None:
    """Refuses a value that is not allowed.

    Raises:
        ValueError: one line that begins with the name.
    """
    if value not in allowed:
        raise ValueError(f"{name}={as_written(value)}: must be {allowed}")


def check_options(options: Any) -> None:
    """Refuses a dataclass with a field whose value is not allowed; see `option`.

    Raises:
        ValueError: one line that begins with the name of the first such field.
    """
    for name, allowed in ranges_of(type(options)).items():
        check(name, getattr(options, name), allowed)


def ranges_of(options: Any) -> dict[str, Range]:
    """What the fields of a dataclass may be, by their names; see `option`."""
    return {one.name: one.metadata["allowed"] for one in fields(options) if "allowed" in one.metadata}


def as_written(value: object) -> str:
    """A value as it is written on the command line."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
