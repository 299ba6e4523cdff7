"""Which pairs of quantisers are looked at, and every unit of a pair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from apot_lit.hardware.after_sum import MULTIPLIER_BITS, rescale_unit, threshold_unit
from apot_lit.hardware.operands import Encoding
from apot_lit.hardware.products import Multiplication, Way, ways
from apot_lit.hardware.units import (
    CONSTANTS,
    accumulator_width,
    dot_product,
    fixed_dot_product,
    multiplier,
    multiply_accumulate,
    pair_name,
    typical_weights,
)
from apot_lit.hardware.verilog import Unit
from apot_lit.quant.levels import LevelSet, Scheme, level_set

STREAM_BIT = 16
KINDS = ("multiplier", "mac", "dot", "fixed", "threshold", "rescale")


@dataclass(frozen=True)
class Pair:
    """The quantisers of a layer.

    Attributes:
        weight_scheme: of the weights.
        act_scheme: of the activations.
        weight_bit: bits of the weights, one of which is the sign.
        act_bit: bits of the activations.
    """

    weight_scheme: Scheme
    act_scheme: Scheme
    weight_bit: int
    act_bit: int

    @property
    def weights(self) -> LevelSet:
        """Level set of the weights' magnitudes."""
        return level_set(self.weight_scheme, self.weight_bit - 1)

    @property
    def activations(self) -> LevelSet:
        """Level set of the activations."""
        return level_set(self.act_scheme, self.act_bit)

    @property
    def name(self) -> str:
        """Such as ``apot4_apot4``."""
        return pair_name(self.weights, self.activations)


@dataclass(frozen=True)
class Candidate:
    """One way to write a unit of a pair.

    Attributes:
        kind: one of `KINDS`.
        pair: the quantisers.
        way: how products are written; None for what is behind the sum.
        unit: the module.
        facts: what a result says of it besides.
    """

    kind: str
    pair: Pair
    way: Way | None
    unit: Unit
    facts: dict[str, Any]


def pairs_of(schemes: Sequence[str], bits: Sequence[int], act_bits: Sequence[int] | None) -> list[Pair]:
    """Pairs of quantisers.

    Args:
        schemes: of weights and activations, one name for both or two joined by ``_``.
        bits: of the weights.
        act_bits: of the activations, every one with every one of `bits`; None: the same as those of the weights.
    """
    found = []
    for bit in bits:
        for act_bit in [bit] if act_bits is None else act_bits:
            for scheme in schemes:
                weights, _, activations = scheme.partition("_")
                found.append(Pair(weights, activations or weights, bit, act_bit))  # type: ignore[arg-type]
    return found


def candidates(pair: Pair, kind: str, products: int, lanes: int) -> Iterator[Candidate]:
    """Every way to write a unit of a pair.

    Args:
        pair: the quantisers.
        kind: one of `KINDS`.
        products: how many products an accumulator must hold the sum of.
        lanes: products per clock of dot products.
    """
    weights, activations = pair.weights, pair.activations
    width = accumulator_width(Multiplication(weights, activations, CONSTANTS), products)
    if kind == "threshold":
        encodings: list[Encoding] = ["code"] if pair.act_scheme == "uniform" else ["code", "index", "fields"]
        for encoding in encodings:
            name = f"threshold_{pair.name}_{encoding}"
            unit = threshold_unit(activations, encoding, width, name)
            yield Candidate(kind, pair, None, unit, {"encoding": encoding, "sum_width": width})
    elif kind == "rescale":
        unit = rescale_unit(width, width + MULTIPLIER_BITS + 1, STREAM_BIT, f"rescale_{pair.name}")
        yield Candidate(kind, pair, None, unit, {"sum_width": width})
    elif kind == "fixed":
        unit = fixed_dot_product(weights, activations, products, typical_weights(weights, lanes))
        yield Candidate(kind, pair, CONSTANTS, unit, {"sum_width": width, "lanes": lanes})
    else:
        for way in ways(weights, activations):
            yield Candidate(kind, pair, way, *_of_way(kind, pair, way, products, lanes, width))


def _of_way(kind: str, pair: Pair, way: Way, products: int, lanes: int, width: int) -> tuple[Unit, dict[str, Any]]:
    weights, activations = pair.weights, pair.activations
    weight, activation = Multiplication(weights, activations, way).operands()
    facts: dict[str, Any] = {"weight_width": weight.width, "act_width": activation.width}
    if kind == "multiplier":
        return multiplier(weights, activations, way), facts
    facts["sum_width"] = width
    if kind == "mac":
        return multiply_accumulate(weights, activations, way, products), facts
    return dot_product(weights, activations, way, products, lanes), {**facts, "lanes": lanes}
