"""The units behind a sum of products: thresholds that make a code of it, and batch norm's multiplication and shift."""

from apot_lit.hardware.expressions import (
    Expression,
    Wire,
    at_least,
    chosen,
    clamped,
    joined,
    negated,
    number,
    shifted_right,
    signal,
    signed_part,
    times,
    total,
)
from apot_lit.hardware.operands import Encoding, Operand
from apot_lit.hardware.verilog import Unit
from apot_lit.quant.levels import LevelSet

MULTIPLIER_BITS = 16
SHIFT_BITS = 6


def threshold_unit(levels: LevelSet, encoding: Encoding, width: int, name: str | None = None) -> Unit:
    """The code of a value: that of the level whose number is how many thresholds are at or below the value.

    The thresholds ascend, so halving finds the number: one comparison for each bit. Source: `ChannelThreshold` and
    `Threshold` of the network of integers.

    Args:
        levels: level set of the codes; it has a power of two of them.
        encoding: how the code is written.
        width: bits of value and thresholds, signed; threshold k is bits ``[width * k +: width]`` of its port.
        name: of the unit.
    """
    count, bits = len(levels.codes), levels.bits
    port = signal("thresholds", (count - 1) * width)
    value, negate = signal("value", width, signed=True), signal("negate", 1)
    wires = [
        Wire("compared", chosen(negate, [value, negated(value)], width, signed=True), "the value, or its negative")
    ]
    found: list[Expression] = []
    for stage in range(bits):
        step = 1 << (bits - stage)
        options = [signed_part(port, width * (step * place + step // 2 - 1), width) for place in range(1 << stage)]
        limit = chosen(joined(found), options, width, signed=True) if found else options[0]
        wires.append(Wire(f"limit{stage}", limit))
        wires.append(Wire(f"bit{bits - 1 - stage}", at_least(wires[0].signal, wires[-1].signal)))
        found.append(wires[-1].signal)
    operand = Operand("code", levels, False, encoding)
    wires.append(Wire("index", joined(found), "how many thresholds are at or below it"))
    words = [number(operand.word(code), operand.width) for code in levels.codes]
    wires.append(Wire("code", chosen(wires[-1].signal, words, operand.width)))
    purpose = f"Thresholds: codes of {levels.scheme}, {bits} bits, as {encoding}, from values of {width} bits."
    name = name or f"threshold_{levels.scheme}{bits}_{encoding}"
    return Unit(name, purpose, [value, negate, port], wires, outputs=("code",))


def rescale_unit(width: int, bias_width: int, stream_bit: int, name: str) -> Unit:
    """Batch norm: ``saturate((value * multiplier + bias) >> shift)``. Source: `Rescale` of the network of integers.

    Args:
        width: bits of the value, signed.
        bias_width: bits of product and bias.
        stream_bit: bits of the result.
        name: of the unit.
    """
    value = signal("value", width, signed=True)
    multiplier = signal("multiplier", MULTIPLIER_BITS, signed=True)
    bias, shift = signal("bias", bias_width, signed=True), signal("shift", SHIFT_BITS)
    scaled = Wire("scaled", total([times(value, multiplier), bias], bias_width, signed=True))
    moved = Wire("moved", shifted_right(scaled.signal, shift))
    result = Wire("result", clamped(moved.signal, stream_bit), "what the stream holds")
    purpose = f"Batch norm: a sum of {width} bits onto the stream of {stream_bit} bits."
    return Unit(name, purpose, [value, multiplier, bias, shift], [scaled, moved, result], outputs=("result",))


def limit_word(thresholds: list[int], width: int) -> int:
    """Thresholds side by side, as the port of `threshold_unit` takes them."""
    high = (1 << (width - 1)) - 1
    mask = (1 << width) - 1
    word = 0
    for place, threshold in enumerate(thresholds):
        assert -high - 1 <= threshold <= high
        word |= (threshold & mask) << (width * place)
    return word
