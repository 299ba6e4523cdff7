"""What units are built of: named integers, each with its bits, that are printed as Verilog and computed in Python.

A value is a mathematical integer; every wire has as many bits as its value needs. So there is no overflow to think of:
`Wire.evaluate` refuses a value that its bits do not hold, and Verilog computes the same integer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
"""Integers, int64 or, where there are wider ones, Python's own."""
Environment = Mapping[str, Values]


@dataclass(frozen=True)
class Expression:
    """An integer made of others.

    Attributes:
        width: bits, the sign included.
        signed: whether it is two's complement.
        text: in Verilog; correct beside `+`, `*`, comparisons and in concatenations of unsigned ones.
        compute: its values from those of the wires it names.
    """

    width: int
    signed: bool
    text: str
    compute: Callable[[Environment], Values]

    @property
    def as_signed(self) -> str:
        """The text as an operand among signed ones."""
        return self.text if self.signed else f"$signed({{1'b0, {self.text}}})"


def signal(name: str, width: int, signed: bool = False) -> Expression:
    """A port, a wire or a register."""
    return Expression(width, signed, name, lambda values: values[name])


def part(source: Expression, low: int, width: int) -> Expression:
    """Some bits of a named value, unsigned."""
    place = f"[{low}]" if width == 1 else f"[{low + width - 1}:{low}]"
    text = source.text if not source.signed and width == source.width else f"{source.text}{place}"
    mask = (1 << width) - 1
    return Expression(width, False, text, lambda values: (source.compute(values) >> low) & mask)


def signed_part(source: Expression, low: int, width: int) -> Expression:
    """The same in two's complement."""
    bits, half = part(source, low, width), 1 << (width - 1)
    text = f"$signed({bits.text})"
    return Expression(width, True, text, lambda values: (bits.compute(values) ^ half) - half)


def number(value: int, width: int, signed: bool = False) -> Expression:
    """A constant."""
    low, high = limits(width, signed)
    assert low <= value <= high
    digits = f"{width + (signed and value == low)}'{'s' if signed else ''}d"  # the smallest has no positive twin
    text = f"{digits}{value}" if value >= 0 else f"-{digits}{-value}"
    return Expression(width, signed, text, lambda values: _like(values, value))


def shifted(source: Expression, shift: int) -> Expression:
    """An unsigned value times ``2^shift``."""
    text = source.text if shift == 0 else f"{{{source.text}, {shift}'d0}}"
    return Expression(source.width + shift, False, text, lambda values: source.compute(values) << shift)


def power_of_two(exponent: Expression, largest: int) -> Expression:
    """``2^exponent``, the exponent at most `largest`."""
    width = largest + 1
    text = f"({width}'d1 << {exponent.text})"
    return Expression(width, False, text, lambda values: _like(values, 1) << exponent.compute(values))


def total(parts: Sequence[Expression], width: int, signed: bool) -> Expression:
    """A sum."""
    parts = tuple(parts)
    text = " + ".join(each.as_signed if signed else each.text for each in parts)
    return Expression(width, signed, text, lambda values: sum(each.compute(values) for each in parts))  # type: ignore[return-value, arg-type]


def times(first: Expression, second: Expression) -> Expression:
    """A product."""
    signed = first.signed or second.signed
    width = first.width + second.width
    text = f"{first.as_signed} * {second.as_signed}" if signed else f"{first.text} * {second.text}"
    return Expression(width, signed, text, lambda values: first.compute(values) * second.compute(values))


def flipped(source: Expression, negative: Expression) -> Expression:
    """An unsigned value x, or -x - 1 where a bit says so: with this bit added to it, x or -x."""
    width = source.width + 1
    text = f"$signed({{1'b0, {source.text}}} ^ {{{width}{{{negative.text}}}}})"
    return Expression(width, True, text, lambda values: source.compute(values) ^ -negative.compute(values))


def negated(source: Expression) -> Expression:
    """A signed value with the other sign; it must not be the smallest one."""
    return Expression(source.width, True, f"-{source.text}", lambda values: -source.compute(values))


def at_least(first: Expression, second: Expression) -> Expression:
    """1 where the first is at least the second, both signed."""
    text = f"({first.text} >= {second.text})"
    return Expression(
        1, False, text, lambda values: (first.compute(values) >= second.compute(values)) + _like(values, 0)
    )


def shifted_right(source: Expression, shift: Expression) -> Expression:
    """A signed value over ``2^shift``, rounded down."""
    text = f"{source.text} >>> {shift.text}"
    return Expression(source.width, True, text, lambda values: source.compute(values) >> shift.compute(values))


def clamped(source: Expression, width: int) -> Expression:
    """The nearest signed value of so many bits."""
    low, high = limits(width, signed=True)
    x, lowest, highest = source.text, number(low, width, signed=True).text, number(high, width, signed=True).text
    text = f"({x} > {highest}) ? {highest} : ({x} < {lowest}) ? {lowest} : {x}"
    return Expression(width, True, text, lambda values: np.clip(source.compute(values), low, high))


def joined(parts: Sequence[Expression]) -> Expression:
    """Unsigned values side by side, the first one highest."""
    parts = tuple(parts)
    width = sum(each.width for each in parts)
    text = parts[0].text if len(parts) == 1 else "{" + ", ".join(each.text for each in parts) + "}"

    def compute(values: Environment) -> Values:
        found = _like(values, 0)
        for each in parts:
            found = (found << each.width) | each.compute(values)
        return found

    return Expression(width, False, text, compute)


def chosen(select: Expression, options: Sequence[Expression], width: int, signed: bool = False) -> Expression:
    """The option whose number another value is; the last one for all larger numbers. The value of a `Wire` alone."""
    options = tuple(options)
    lines = [f"{select.width}'d{place}: @ = {option.text};" for place, option in enumerate(options[:-1])]
    lines.append(f"default: @ = {options[-1].text};")
    body = "\n".join([f"case ({select.text})", *(f"    {line}" for line in lines), "endcase"])

    def compute(values: Environment) -> Values:
        places = np.asarray(np.minimum(select.compute(values), len(options) - 1)).astype(np.int64)
        found = _like(values, 0) + 0 * places
        for place, option in enumerate(options):
            found = np.where(places == place, option.compute(values), found)
        return found

    return Expression(width, signed, body, compute)


def _like(values: Environment, value: int) -> Values:
    """A constant of the kind that the other values are of."""
    return np.array(value, _kind(values))


def _kind(values: Environment) -> Any:
    return object if any(array.dtype == object for array in values.values()) else np.int64


@dataclass(frozen=True)
class Wire:
    """A named value within a unit.

    Attributes:
        name: its name.
        value: what it is; its width and sign are the wire's.
        note: what it means, for a comment.
    """

    name: str
    value: Expression
    note: str = ""

    @property
    def signal(self) -> Expression:
        """The wire as an operand."""
        return signal(self.name, self.value.width, self.value.signed)

    def evaluate(self, values: Environment) -> Values:
        """The wire's value.

        Raises:
            OverflowError: if its bits do not hold it.
        """
        found: Values = np.asarray(self.value.compute(values), _kind(values))
        low, high = limits(self.value.width, self.value.signed)
        if np.any(found < low) or np.any(found > high):
            raise OverflowError(f"{self.name}: {self.value.width} bits do not hold {found.min()} to {found.max()}")
        return found


def limits(width: int, signed: bool) -> tuple[int, int]:
    """The smallest and the largest integer of so many bits."""
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)


def bits_of(largest: int) -> int:
    """Bits of an unsigned number, at least 1."""
    return max(1, largest.bit_length())
