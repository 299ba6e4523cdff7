"""Proof by SAT that all ways to write a multiplier are one function."""

from collections.abc import Sequence

from apot_lit.hardware.candidates import Candidate
from apot_lit.hardware.operands import Operand
from apot_lit.hardware.products import Multiplication
from apot_lit.hardware.verilog import modules
from apot_lit.hardware.yosys import run_yosys

_TOP = "all_equal"


def prove_equal(found: Sequence[Candidate]) -> None:
    """Proves that multipliers of a pair give the same product for every weight and activation.

    A module reads sign and level indices, writes them in every encoding, and compares the products; the solver looks
    for a weight and an activation for which two of them differ.

    Args:
        found: multipliers of one pair, at least two.

    Raises:
        UserError: if Yosys is missing.
        RuntimeError: if there are such operands.
    """
    script = [
        "read_verilog units.v",
        f"hierarchy -top {_TOP}",
        "proc -norom",
        "flatten",
        "opt",
        f"sat -verify -prove equal 1 {_TOP}",
    ]
    run_yosys(script, {"units.v": modules([one.unit for one in found]) + _comparison(found)})


def _comparison(found: Sequence[Candidate]) -> str:
    multiplications = [Multiplication(one.pair.weights, one.pair.activations, one.way) for one in found if one.way]
    width = multiplications[0].width
    weight, activation = (
        Operand(each.name, each.levels, each.signed, "index") for each in multiplications[0].operands()
    )
    ports = f"input [{weight.width - 1}:0] weight, input [{activation.width - 1}:0] activation"
    lines = [f"module {_TOP} ({ports}, output equal);"]
    for place, (one, multiplication) in enumerate(zip(found, multiplications, strict=True)):
        wired = []
        for source, operand in zip((weight, activation), multiplication.operands(), strict=True):
            name = f"{operand.name}{place}"
            lines += [f"reg [{operand.width - 1}:0] {name};", f"always @* case ({operand.name})"]
            lines += [
                f"    {source.width}'d{source.word(code)}: {name} = {operand.width}'d{operand.word(code)};"
                for code in source.codes()
            ]
            lines += [f"    default: {name} = {operand.width}'d{operand.word(0)};", "endcase"]
            wired.append(f".{operand.name}({name})")
        lines.append(f"wire [{width - 1}:0] product{place};")
        lines.append(f"{one.unit.name} unit{place} ({', '.join(wired)}, .product(product{place}));")
    compared = " && ".join(f"product{place} == product0" for place in range(1, len(found)))
    return "\n".join([*lines, f"assign equal = {compared};", "endmodule", ""])
