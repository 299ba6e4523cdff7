"""The units that networks of codes compute with: multiplier, multiply-accumulate, dot product."""

import math
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist

from apot_lit.hardware.expressions import Expression, Wire, bits_of, number, part, signal, times, total
from apot_lit.hardware.products import Multiplication, Way
from apot_lit.hardware.verilog import Register, Unit
from apot_lit.quant.levels import LevelSet

SUM = "sum"
CONSTANTS = Way("multiply", "twos", "code")
CLIPPED_AT = 3.0  # deviations: the quantiser's initial clipping threshold
_NAMES = {"apot": "APoT", "pot": "PoT", "uniform": "uniform"}


def pair_name(weights: LevelSet, activations: LevelSet) -> str:
    """A pair of quantisers by their schemes and bit widths, such as ``apot4_apot4``; a weight's sign is a bit."""
    return f"{weights.scheme}{weights.bits + 1}_{activations.scheme}{activations.bits}"


def accumulator_width(multiplication: Multiplication, products: int) -> int:
    """Bits of a sum of so many products, the sign included, whatever they are."""
    return bits_of(products * multiplication.largest) + 1


def multiplier(weights: LevelSet, activations: LevelSet, way: Way) -> Unit:
    """The product of a weight and an activation, in two's complement, without a clock."""
    multiplication = Multiplication(weights, activations, way)
    wires, addends = multiplication.addends()
    if len(addends) > 1:
        wires.append(Wire("product", total(addends, multiplication.width, signed=True)))
    inputs = [operand.port for operand in multiplication.operands()]
    purpose = f"Multiplier: {_described(multiplication)}"
    return Unit(f"multiplier_{_suffix(multiplication)}", purpose, inputs, wires, outputs=("product",))


def multiply_accumulate(weights: LevelSet, activations: LevelSet, way: Way, products: int) -> Unit:
    """A register to which every clock adds the product of a weight and an activation.

    Args:
        weights: level set of the weights' magnitudes.
        activations: level set of the activations.
        way: how the product is written.
        products: how many of them the register must hold the sum of.
    """
    multiplication = Multiplication(weights, activations, way)
    wires, addends = multiplication.addends()
    register = _accumulator(addends, accumulator_width(multiplication, products))
    inputs = [operand.port for operand in multiplication.operands()]
    purpose = f"Multiply-accumulate, up to {products} products: {_described(multiplication)}"
    return Unit(f"mac_{_suffix(multiplication)}", purpose, inputs, wires, registers=(register,))


def dot_product(weights: LevelSet, activations: LevelSet, way: Way, products: int, lanes: int) -> Unit:
    """A register to which every clock adds the products of so many weights and activations.

    They are one sum, which a synthesiser makes an adder tree of. Weight and activation of lane i are bits
    ``[width * i +: width]`` of the ports `weights` and `activations`.

    Args:
        weights: level set of the weights' magnitudes.
        activations: level set of the activations.
        way: how the product is written.
        products: how many of them the register must hold the sum of.
        lanes: products per clock.
    """
    multiplication = Multiplication(weights, activations, way)
    weight, activation = multiplication.operands()
    ports = [signal("weights", lanes * weight.width), signal("activations", lanes * activation.width)]
    wires: list[Wire] = []
    addends: list[Expression] = []
    for lane in range(lanes):
        for port, operand in zip(ports, multiplication.operands(str(lane)), strict=True):
            wires.append(Wire(operand.name, part(port, lane * operand.width, operand.width)))
        inner, added = multiplication.addends(str(lane))
        wires += inner
        addends += added
    register = _accumulator(addends, accumulator_width(multiplication, products))
    purpose = f"Dot product of {lanes} lanes, up to {products} products: {_described(multiplication)}"
    name = f"dot{lanes}_{_suffix(multiplication)}"
    return Unit(name, purpose, ports, wires, registers=(register,))


def fixed_dot_product(weights: LevelSet, activations: LevelSet, products: int, codes: Sequence[int]) -> Unit:
    """The same for weights that never change: each product is one with a constant, which a synthesiser makes shifts of.

    Args:
        weights: level set of the weights' magnitudes.
        activations: level set of the activations, which are read as codes.
        products: how many of them the register must hold the sum of.
        codes: of the weights, one for each lane.
    """
    multiplication = Multiplication(weights, activations, CONSTANTS)
    _, activation = multiplication.operands()
    port = signal("activations", len(codes) * activation.width)
    width = bits_of(weights.codes[-1]) + 1
    addends = [
        times(number(code, width, signed=True), part(port, lane * activation.width, activation.width))
        for lane, code in enumerate(codes)
        if code
    ]
    register = _accumulator(addends, accumulator_width(multiplication, products))
    purpose = f"Dot product with {len(codes)} fixed weights, up to {products} products: {_described(multiplication)}"
    return Unit(f"fixed{len(codes)}_{_suffix(multiplication)}", purpose, [port], [], registers=(register,))


def typical_weights(levels: LevelSet, count: int) -> list[int]:
    """Codes of weights as they are distributed: quantiles of a normal distribution, clipped at three deviations.

    Args:
        levels: level set of the magnitudes.
        count: how many.
    """
    values = [NormalDist().inv_cdf((place + 0.5) / count) / CLIPPED_AT for place in range(count)]
    return [int(math.copysign(1, value)) * levels.project(min(Fraction(abs(value)), Fraction(1))) for value in values]


def _accumulator(addends: list[Expression], width: int) -> Register:
    held = signal(SUM, width, signed=True)
    return Register(SUM, total([held, *addends], width, signed=True))


def _suffix(multiplication: Multiplication) -> str:
    return f"{pair_name(multiplication.weights, multiplication.activations)}_{multiplication.way.name}"


def _described(multiplication: Multiplication) -> str:
    weights, activations = multiplication.weights, multiplication.activations
    return (
        f"weights {_NAMES[weights.scheme]} {weights.bits + 1} bits, activations {_NAMES[activations.scheme]} "
        f"{activations.bits} bits, by {multiplication.way.words}."
    )
