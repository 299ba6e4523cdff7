"""What units are tested with: all pairs of operands, values around every threshold; and what must come out."""

from collections.abc import Iterator, Sequence

from apot_lit.hardware.after_sum import MULTIPLIER_BITS, limit_word
from apot_lit.hardware.candidates import STREAM_BIT, Candidate
from apot_lit.hardware.expressions import limits
from apot_lit.hardware.operands import Operand
from apot_lit.hardware.products import Multiplication
from apot_lit.hardware.testbench import Trial
from apot_lit.hardware.units import SUM, typical_weights

Rows = dict[str, list[int]]


def trial_of(one: Candidate, products: int) -> Trial:
    """The test of a unit.

    Args:
        one: the unit.
        products: how many of them its sum has room for.
    """
    if one.kind == "threshold":
        return Trial(one.unit, _threshold_rows(one))
    if one.kind == "rescale":
        return Trial(one.unit, _rescale_rows(one))
    assert one.way is not None
    multiplication = Multiplication(one.pair.weights, one.pair.activations, one.way)
    weight, activation = multiplication.operands()
    if one.kind == "multiplier":
        pairs = list(_pairs(weight, activation))
        rows = {
            "weight": [weight.word(w) for w, _ in pairs],
            "activation": [activation.word(a) for _, a in pairs],
            "product": [w * a for w, a in pairs],
        }
        return Trial(one.unit, rows)
    if one.kind == "fixed":
        codes = typical_weights(one.pair.weights, one.facts["lanes"])
        return Trial(one.unit, _fixed_rows(codes, activation, products))
    return Trial(one.unit, _sum_rows(one, weight, activation, products))


def _pairs(weight: Operand, activation: Operand) -> Iterator[tuple[int, int]]:
    """All pairs of codes."""
    return ((w, a) for w in weight.codes() for a in activation.codes())


def _sum_rows(one: Candidate, weight: Operand, activation: Operand, products: int) -> Rows:
    """All pairs of codes in every lane, another pair in each; the sum begins anew when it is full."""
    pairs = list(_pairs(weight, activation))
    lanes = one.facts.get("lanes", 1)
    names = ("weights", "activations") if one.kind == "dot" else ("weight", "activation")
    rows: Rows = {"clear": [], names[0]: [], names[1]: [], SUM: []}
    full, held = products // lanes, 0
    for place in range(len(pairs) + -(-len(pairs) // full)):
        clear = place % (full + 1) == 0
        chosen = [pairs[(place + lane * 7) % len(pairs)] for lane in range(lanes)]
        held = 0 if clear else held + sum(w * a for w, a in chosen)
        rows["clear"].append(int(clear))
        rows[names[0]].append(_side_by_side([weight.word(w) for w, _ in chosen], weight.width))
        rows[names[1]].append(_side_by_side([activation.word(a) for _, a in chosen], activation.width))
        rows[SUM].append(held)
    return rows


def _fixed_rows(codes: Sequence[int], activation: Operand, products: int) -> Rows:
    """Every code in every lane; the sum begins anew with each row."""
    rows: Rows = {"clear": [], "activations": [], SUM: []}
    levels = activation.codes()
    for place in range(2 * len(levels)):
        clear = place % 2 == 0
        chosen = [levels[(place // 2 + lane * 3) % len(levels)] for lane in range(len(codes))]
        rows["clear"].append(int(clear))
        rows["activations"].append(_side_by_side([activation.word(a) for a in chosen], activation.width))
        rows[SUM].append(0 if clear else sum(w * a for w, a in zip(codes, chosen, strict=True)))
    return rows


def _threshold_rows(one: Candidate) -> Rows:
    """Values around each of a few rows of thresholds, with either sign."""
    levels, width = one.pair.activations, one.facts["sum_width"]
    low, high = limits(width, signed=True)
    count = len(levels.codes) - 1
    operand = Operand("code", levels, False, one.facts["encoding"])
    spread = [low + 1 + (place + 1) * (high - low) // (count + 1) for place in range(count)]
    equal = [high // 3] * count
    rows: Rows = {"value": [], "negate": [], "thresholds": [], "code": []}
    for thresholds in (spread, equal, [low] * count, [high] * count):
        near = {t + d for t in thresholds for d in (-1, 0, 1)} | {low + 1, high, 0, -1, 1}
        for compared in sorted(value for value in near if low < value <= high):
            for negate in (0, 1):
                rows["value"].append(-compared if negate else compared)
                rows["negate"].append(negate)
                rows["thresholds"].append(limit_word(thresholds, width))
                rows["code"].append(operand.word(levels.codes[sum(t <= compared for t in thresholds)]))
    return rows


def _rescale_rows(one: Candidate) -> Rows:
    """The ends of what each input can be, and values between."""
    low, high = limits(one.facts["sum_width"], signed=True)
    most, bias_bits = limits(MULTIPLIER_BITS, signed=True)[1], one.facts["sum_width"] + MULTIPLIER_BITS - 1
    least, largest = limits(STREAM_BIT, signed=True)
    rows: Rows = {"value": [], "multiplier": [], "bias": [], "shift": [], "result": []}
    for value in (low, -1, 0, 1, high // 7, high):
        for multiplier in (-most, -1, 0, 1, most // 3, most):
            for bias in (0, 1 << (bias_bits - 1), -(1 << (bias_bits - 2)), 12345):
                for shift in (0, 1, 7, 16, 31, 40):
                    exact = (value * multiplier + bias) >> shift
                    for name, item in zip(rows, (value, multiplier, bias, shift), strict=False):
                        rows[name].append(item)
                    rows["result"].append(max(least, min(largest, exact)))
    return rows


def _side_by_side(words: Sequence[int], width: int) -> int:
    return sum(word << (width * place) for place, word in enumerate(words))
