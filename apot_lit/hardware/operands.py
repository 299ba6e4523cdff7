"""How a code is written in bits before it is multiplied."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

from apot_lit.hardware.expressions import (
    Expression,
    Wire,
    bits_of,
    chosen,
    number,
    part,
    shifted,
    signal,
    signed_part,
    total,
)
from apot_lit.quant.levels import LevelSet

Encoding = Literal["code", "index", "fields", "twos"]


@dataclass(frozen=True)
class Operand:
    """A weight or an activation as a unit reads it.

    Attributes:
        name: of the port.
        levels: the level set of its magnitude.
        signed: whether it has a sign: weights do.
        encoding: what the bits of the magnitude say. ``code``: the code itself. ``index``: its place among the codes.
            ``fields``: for each term of the level set which of its entries is added, 0 first; that is the code itself
            for uniform levels. Above these bits stands the sign. ``twos``: sign and code in two's complement.
    """

    name: str
    levels: LevelSet
    signed: bool
    encoding: Encoding

    @property
    def largest(self) -> int:
        """The largest code."""
        return self.levels.codes[-1]

    @property
    def terms(self) -> tuple[tuple[int, ...], ...]:
        """The level set's terms, the last one first: so fields of uniform levels are the bits of the code."""
        return self.levels.terms[::-1]

    @cached_property
    def field_widths(self) -> tuple[int, ...]:
        """Bits of each term's field, those of the first one lowest."""
        return tuple(bits_of(len(term) - 1) for term in self.terms)

    @property
    def magnitude_width(self) -> int:
        """Bits without the sign."""
        if self.encoding in ("code", "twos"):
            return bits_of(self.largest)
        return bits_of(len(self.levels.codes) - 1) if self.encoding == "index" else sum(self.field_widths)

    @property
    def width(self) -> int:
        """Bits of the port."""
        return self.magnitude_width + self.signed

    @property
    def port(self) -> Expression:
        """The port, whose bits are taken as an unsigned number."""
        return signal(self.name, self.width)

    def codes(self) -> list[int]:
        """Every code it can be, ascending."""
        magnitudes = self.levels.codes
        return [*(-code for code in reversed(magnitudes[1:])), *magnitudes] if self.signed else list(magnitudes)

    def word(self, code: int) -> int:
        """The bits of a code, as an unsigned number."""
        if self.encoding == "twos":
            return code % (1 << self.width)
        return (int(code < 0) << self.magnitude_width) | self._words[abs(code)]

    @cached_property
    def _words(self) -> dict[int, int]:
        if self.encoding == "code":
            return {code: code for code in self.levels.codes}
        if self.encoding == "index":
            return {code: place for place, code in enumerate(self.levels.codes)}
        words: dict[int, int] = {}
        for places in product(*(range(len(term)) for term in self.terms)):
            code = sum(term[place] for term, place in zip(self.terms, places, strict=True))
            word, low = 0, 0
            for place, width in zip(places, self.field_widths, strict=True):
                word |= place << low
                low += width
            words.setdefault(code, word)
        return words

    @property
    def sign(self) -> Expression:
        """1 for negative codes; not of two's complement."""
        return part(self.port, self.magnitude_width, 1)

    @property
    def magnitude(self) -> Expression:
        """All bits but the sign."""
        return part(self.port, 0, self.magnitude_width)

    @property
    def twos(self) -> Expression:
        """The code of an operand in two's complement."""
        return signed_part(self.port, 0, self.width)

    def fields(self) -> list[tuple[Expression, tuple[int, ...]]]:
        """Of each term its field and its entries."""
        found, low = [], 0
        for width, term in zip(self.field_widths, self.terms, strict=True):
            found.append((part(self.port, low, width), term))
            low += width
        return found

    def decoded(self) -> tuple[list[Wire], Expression]:
        """Wires that turn the port into the code's magnitude, and this."""
        if self.encoding == "code":
            return [], self.magnitude
        width = bits_of(self.largest)
        if self.encoding == "index":
            options = [number(code, width) for code in self.levels.codes]
            wire = Wire(f"{self.name}_code", chosen(self.magnitude, options, width), f"the {self.name}'s code")
            return [wire], wire.signal
        wires = []
        for place, (field, term) in enumerate(self.fields()):
            entries = [number(entry, bits_of(term[-1])) for entry in term]
            wires.append(Wire(f"{self.name}_term{place}", chosen(field, entries, bits_of(term[-1]))))
        added = total([wire.signal for wire in wires], width, signed=False)
        wires.append(Wire(f"{self.name}_code", added, f"the {self.name}'s code"))
        return wires, wires[-1].signal


def shifts_of(term: tuple[int, ...], source: Expression) -> list[Expression]:
    """A value times each entry of a term: nothing, or the value shifted."""
    width = source.width + term[-1].bit_length() - 1
    return [number(0, width), *(shifted(source, entry.bit_length() - 1) for entry in term[1:])]
