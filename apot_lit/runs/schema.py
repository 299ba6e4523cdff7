"""What data read from a file must look like: small descriptions, and `misfit`, which checks data against one.

Data that fits can be computed with as described: numbers are finite, texts can be written, containers end, and tensors
take no more memory than the file did (`apot_lit.runs.plain`).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

MAX_INTEGER = 2**63 - 1


class Misfit(Exception):
    """What does not fit, in one line that begins with the place."""


class Schema:
    """A description of data; `_check` raises `Misfit` if a value does not fit."""

    def _check(self, value: Any, place: str) -> None:
        raise NotImplementedError


def misfit(value: Any, schema: Schema, place: str = "") -> str | None:
    """Says in one line where data does not fit its description, and what would.

    Args:
        value: what was read.
        schema: what it must be.
        place: its name, for the message.

    Returns:
        The line, None if everything fits.

    Examples:
        >>> misfit({"epochs": [1, "2"]}, Fields({"epochs": Items(Integer(low=1))}))
        'epochs[1]=2: must be an integer, at least 1'
        >>> misfit({"epochs": []}, Fields({"epochs": Items(Integer())})) is None
        True
    """
    try:
        schema._check(value, place)
    except Misfit as found:
        return one_line(found)
    return None


def one_line(text: object, longest: int = 300) -> str:
    """The text as one line of printable characters, cut where it is longer than `longest`."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(str(text)[: 4 * longest].split()))
    return line if len(line) <= longest else line[: longest - 3] + "..."


@dataclass(frozen=True)
class Number(Schema):
    """A finite number from `low` to `high`, no truth value; an integer if `whole`."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    def _check(self, value: Any, place: str) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER
        number = whole or (isinstance(value, float) and math.isfinite(value) and not self.whole)
        if not (number and self.low <= value <= self.high):
            what = "an integer" if self.whole else "a finite number"
            limits = [f"at least {self.low}"] if self.low > -math.inf else []
            limits += [f"at most {self.high}"] if self.high < math.inf else []
            refuse(value, place, ", ".join([what, *limits]))


def Integer(low: float = -math.inf, high: float = math.inf) -> Number:
    """An integer from `low` to `high`."""
    return Number(low, high, whole=True)


@dataclass(frozen=True)
class Text(Schema):
    """A text that UTF-8 can hold; `pattern`, if given, is that of all of it, and `described` says so in words."""

    pattern: str = ""
    described: str = "a text"

    def _check(self, value: Any, place: str) -> None:
        fits = isinstance(value, str) and not re.search("[\ud800-\udfff]", value)
        if not fits or (self.pattern and not re.fullmatch(self.pattern, value)):
            refuse(value, place, self.described)


@dataclass(frozen=True)
class Flag(Schema):
    """True or false."""

    def _check(self, value: Any, place: str) -> None:
        if not isinstance(value, bool):
            refuse(value, place, "true or false")


@dataclass(frozen=True)
class OrNull(Schema):
    """None, or what `of` describes."""

    of: Schema

    def _check(self, value: Any, place: str) -> None:
        if value is not None:
            self.of._check(value, place)


@dataclass(frozen=True)
class Items(Schema):
    """A list of what `of` describes, of `length` items if that is given."""

    of: Schema
    length: int | None = None

    def _check(self, value: Any, place: str) -> None:
        if not isinstance(value, list | tuple) or self.length not in (None, len(value)):
            refuse(value, place, "a list" if self.length is None else f"a list of {self.length}")
        for index, item in enumerate(value):
            self.of._check(item, f"{place}[{index}]")


@dataclass(frozen=True)
class Entries(Schema):
    """A mapping from any texts to what `of` describes."""

    of: Schema

    def _check(self, value: Any, place: str) -> None:
        if not isinstance(value, Mapping):
            refuse(value, place, "a mapping")
        for key, item in value.items():
            Text(described="a text, being a key")._check(key, place)
            self.of._check(item, below(place, key))


@dataclass(frozen=True)
class Fields(Schema):
    """A mapping with the keys of `required`, and perhaps those of `optional`; others are free."""

    required: Mapping[str, Schema] = field(default_factory=dict)
    optional: Mapping[str, Schema] = field(default_factory=dict)

    def _check(self, value: Any, place: str) -> None:
        if not isinstance(value, Mapping):
            refuse(value, place, "a mapping")
        for key, schema in self.required.items():
            if key not in value:
                raise Misfit(f"{below(place, key)}: is missing")
            schema._check(value[key], below(place, key))
        for key, schema in self.optional.items():
            if key in value:
                schema._check(value[key], below(place, key))


def options_of(options: Any) -> Fields:
    """Describes a mapping of options by the types that a dataclass declares for them; it may lack any.

    Examples:
        >>> @dataclass
        ... class Options:
        ...     width: int = 16
        ...     rate: float | None = None
        >>> misfit({"width": 8, "rate": None}, options_of(Options)) is None
        True
        >>> misfit({"rate": "high"}, options_of(Options))
        'rate=high: must be a finite number'
    """
    plain: dict[type, Schema] = {int: Integer(), float: Number(), str: Text(), bool: Flag()}
    schemas: dict[str, Schema] = {}
    for name, declared in get_type_hints(options).items():
        if get_origin(declared) is Mapping:
            schemas[name] = Entries(Fields())
            continue
        kinds = [kind for kind in get_args(declared) or [declared] if kind is not type(None)]
        schemas[name] = plain[kinds[0]] if declared in kinds else OrNull(plain[kinds[0]])
    return Fields(optional=schemas)


@dataclass(frozen=True)
class All(Schema):
    """What all of `parts` describe, looked at in their order."""

    parts: tuple[Schema, ...]

    def _check(self, value: Any, place: str) -> None:
        for part in self.parts:
            part._check(value, place)


@dataclass(frozen=True)
class Rule(Schema):
    """Whatever `holds` is true of; `must` says in words what that is."""

    holds: Callable[[Any], bool]
    must: str

    def _check(self, value: Any, place: str) -> None:
        if not self.holds(value):
            raise Misfit(f"{place}: must {self.must}")


def refuse(value: Any, place: str, wanted: str) -> NoReturn:
    """Raises a `Misfit` that shows a value at a place, and what it must be."""
    if value is None or isinstance(value, bool):
        shown = str(value).lower().replace("none", "null")
    elif isinstance(value, str | float) or (isinstance(value, int) and abs(value) <= MAX_INTEGER):
        shown = one_line(value, 60)
    else:
        shown = f"({type(value).__name__})"
    raise Misfit(f"{place}={shown}: must be {wanted}")


def below(place: str, key: object) -> str:
    """The name of what a mapping at a place has at a key."""
    name = one_line(key, 60)
    return f"{place}.{name}" if place else name
