"""Ways to write the product of a weight and an activation, of which a synthesiser finds one the cheapest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from apot_lit.hardware.expressions import (
    Environment,
    Expression,
    Values,
    Wire,
    bits_of,
    chosen,
    flipped,
    joined,
    number,
    part,
    power_of_two,
    times,
    total,
)
from apot_lit.hardware.operands import Encoding, Operand, shifts_of
from apot_lit.quant.levels import LevelSet

Method = Literal["multiply", "shift", "shift_weight", "exponents", "table"]
TABLE_BITS = 9
BOOTH_BITS = 4
_RADIX4_NOTE = "a radix-4 Booth multiplier"


@dataclass(frozen=True)
class Way:
    """A way to write a product.

    Attributes:
        method: ``multiply``: a multiplication of codes. ``shift``: the activation's code, shifted as each term of the
            weight says, added up; ``shift_weight`` the other way round. ``exponents``: of single powers of two, the sum
            of their exponents decides on one shift. ``table``: magnitudes looked up.
        weight: encoding of the weight.
        activation: encoding of the activation.
        booth: whether the synthesiser is told to write the multiplication as a radix-4 Booth multiplier.
        split: whether what each shift gives is added to the sum by itself, not to the product first.
    """

    method: Method
    weight: Encoding
    activation: Encoding
    booth: bool = False
    split: bool = False

    @property
    def name(self) -> str:
        """For names of units."""
        method = "booth" if self.booth else f"{self.method}{'_split' if self.split else ''}"
        return f"{method}_{self.weight}_{self.activation}"

    @property
    def words(self) -> str:
        """For people."""
        how = {
            "multiply": _RADIX4_NOTE if self.booth else "a multiplication",
            "shift": "shifts by each term of the weight and additions",
            "shift_weight": "shifts by each term of the activation and additions",
            "exponents": "an addition of exponents and one shift",
            "table": "a table of products",
        }[self.method]
        how += ", each of them to the sum" if self.split else ""
        weight = {
            "twos": "code in two's complement",
            "code": "sign and code",
            "index": "sign and level index",
            "fields": "sign and shift fields",
        }[self.weight]
        activation = {"code": "code", "index": "level index", "fields": "shift fields", "twos": ""}[self.activation]
        return f"{how}; weight as {weight}, activation as {activation}"


def ways(weights: LevelSet, activations: LevelSet) -> list[Way]:
    """Every way to write the product of two quantisers' codes.

    Encodings that are the same bits are one: codes, indices and fields of uniform levels.

    Args:
        weights: level set of the weights' magnitudes.
        activations: level set of the activations.
    """
    plain_weights, plain_activations = _is_plain(weights), _is_plain(activations)
    found = [Way("multiply", "twos", "code"), Way("multiply", "code", "code")]
    if min(bits_of(weights.codes[-1]) + 1, bits_of(activations.codes[-1])) >= BOOTH_BITS:
        found += [Way("multiply", "twos", "code", booth=True), Way("multiply", "code", "code", booth=True)]
    fields: Encoding = "code" if plain_weights else "fields"
    places: Encoding = "code" if plain_activations else "fields"
    found.append(Way("shift", fields, "code"))
    if not plain_activations:
        found += [Way("shift", fields, "fields"), Way("shift", fields, "index")]
    if len(weights.terms) > 1:
        found.append(Way("shift", fields, "code", split=True))
    if len(activations.terms) > 1:
        found += [Way("shift_weight", "code", places), Way("shift_weight", "code", places, split=True)]
    if weights.bits + activations.bits <= TABLE_BITS:
        found.append(Way("table", fields, places))
        if not (plain_weights and plain_activations):
            found.append(Way("table", "code" if plain_weights else "index", "code" if plain_activations else "index"))
    if _is_power(weights) and _is_power(activations) and not (plain_weights and plain_activations):
        found.append(Way("exponents", fields, places))
    return found


def _is_plain(levels: LevelSet) -> bool:
    """Whether a code, its index and its fields are the same bits."""
    return levels.codes == tuple(range(len(levels.codes)))


def _is_power(levels: LevelSet) -> bool:
    return len(levels.terms) == 1


@dataclass(frozen=True)
class Multiplication:
    """The product of a weight and an activation.

    Attributes:
        weights: level set of the weights' magnitudes.
        activations: level set of the activations.
        way: how it is written.
    """

    weights: LevelSet
    activations: LevelSet
    way: Way

    def operands(self, lane: str = "") -> tuple[Operand, Operand]:
        """Weight and activation, whose ports' names end in `lane`."""
        weight = Operand(f"weight{lane}", self.weights, True, self.way.weight)
        return weight, Operand(f"activation{lane}", self.activations, False, self.way.activation)

    @property
    def largest(self) -> int:
        """The largest product."""
        return self.weights.codes[-1] * self.activations.codes[-1]

    @property
    def width(self) -> int:
        """Bits of the product, in two's complement."""
        return bits_of(self.largest) + 1

    def addends(self, lane: str = "") -> tuple[list[Wire], list[Expression]]:
        """Wires, and signed or single-bit values whose sum is the product.

        Of a weight with a sign these are the magnitude, with every bit flipped where the sign is set, and the sign.
        """
        weight, activation = self.operands(lane)
        if self.way.weight == "twos":
            wire = Wire(f"product{lane}", _within(times(weight.twos, activation.port), self.width, signed=True))
            return [wire], [wire.signal]
        if self.way.method in ("shift", "shift_weight"):
            wires, parts = self._shifts(weight, activation, lane)
            if self.way.split:
                return wires, [each for part_ in parts for each in (flipped(part_, weight.sign), weight.sign)]
            magnitude = total(parts, bits_of(self.largest), signed=False)
        else:
            wires, magnitude = self._magnitude(weight, activation, lane)
        wires.append(Wire(f"magnitude{lane}", magnitude, "of the product"))
        return wires, [flipped(wires[-1].signal, weight.sign), weight.sign]

    def _magnitude(self, weight: Operand, activation: Operand, lane: str) -> tuple[list[Wire], Expression]:
        width = bits_of(self.largest)
        if self.way.method == "table":
            return [], self._table(weight, activation, width)
        if self.way.method == "exponents":
            return self._exponents(weight, activation, lane)
        return [], _within(times(weight.magnitude, activation.magnitude), width, signed=False)

    def _shifts(self, weight: Operand, activation: Operand, lane: str) -> tuple[list[Wire], list[Expression]]:
        """Wires, and what each term of one operand makes of the code of the other."""
        shifting = weight if self.way.method == "shift" else activation
        wires, code = activation.decoded() if shifting is weight else ([], weight.magnitude)
        parts = []
        for place, (field, term) in enumerate(shifting.fields()):
            options = shifts_of(term, code)
            added = chosen(field, options, options[-1].width)
            parts.append(Wire(f"part{place}{'_' if lane else ''}{lane}", added, f"term {place} of {shifting.name}"))
        return [*wires, *parts], [wire.signal for wire in parts]

    def _table(self, weight: Operand, activation: Operand, width: int) -> Expression:
        by_word = [{operand.word(code): code for code in operand.levels.codes} for operand in (weight, activation)]
        entries = [
            number(by_word[0].get(one, 0) * by_word[1].get(other, 0), width)
            for one in range(1 << weight.magnitude_width)
            for other in range(1 << activation.width)
        ]
        return chosen(joined([weight.magnitude, activation.port]), entries, width)

    def _exponents(self, weight: Operand, activation: Operand, lane: str) -> tuple[list[Wire], Expression]:
        """A field f > 0 is the power f - 1, so that 2^f times 2^g, over 4, is the product."""
        powers = weight.magnitude, activation.magnitude
        largest = self.weights.codes[-1].bit_length() + self.activations.codes[-1].bit_length()
        exponent = Wire(f"exponent{lane}", total(powers, bits_of(largest), signed=False), "of four times the product")
        moved = Wire(f"moved{lane}", power_of_two(exponent.signal, largest), "four times the product, were neither 0")
        nonzero = [_any(each) for each in powers]
        high = part(moved.signal, 2, moved.value.width - 2)
        return [exponent, moved], _gated(high, nonzero)


def _any(source: Expression) -> Expression:
    return Expression(1, False, f"(|{source.text})", lambda values: (source.compute(values) != 0) * 1)


def _gated(source: Expression, bits: Sequence[Expression]) -> Expression:
    """The value where all bits are 1, else 0."""
    condition = " & ".join(bit.text for bit in bits)
    text = f"{source.text} & {{{source.width}{{{condition}}}}}"

    def compute(values: Environment) -> Values:
        found = source.compute(values)
        for bit in bits:
            found = found * bit.compute(values)
        return found

    return Expression(source.width, False, text, compute)


def _within(source: Expression, width: int, signed: bool) -> Expression:
    """The same value, known to fit into so many bits."""
    return Expression(width, signed, source.text, source.compute)
