"""Units as Verilog modules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apot_lit.hardware.expressions import Expression, Values, Wire

_INDENT = "    "


@dataclass(frozen=True)
class Register:
    """A register that every clock sets to its next value, or to 0 where the port `clear` is set.

    Attributes:
        name: its name, that of an output.
        next: its next value.
    """

    name: str
    next: Expression


@dataclass(frozen=True)
class Unit:
    """A module.

    Attributes:
        name: its name.
        purpose: a sentence for the comment above it.
        inputs: its input ports; a unit with registers has clock and clear besides.
        wires: values within, in an order in which they can be computed.
        outputs: what goes out: those of `wires` that these names name.
        registers: what goes out a clock later.
    """

    name: str
    purpose: str
    inputs: Sequence[Expression]
    wires: Sequence[Wire]
    outputs: Sequence[str] = ()
    registers: Sequence[Register] = ()

    def evaluate(self, values: Mapping[str, Values]) -> dict[str, Values]:
        """Outputs, and the next values of registers, from inputs and the registers' values.

        Raises:
            OverflowError: where a value has more bits than its wire.
        """
        known: dict[str, Values] = dict(values)
        for wire in self.wires:
            known[wire.name] = wire.evaluate(known)
        found = {name: known[name] for name in self.outputs}
        found |= {each.name: Wire(each.name, each.next).evaluate(known) for each in self.registers}
        return found

    def verilog(self) -> str:
        """The module's text."""
        ports = [f"input  wire {_kind(port)}{port.text}" for port in self.inputs]
        if self.registers:
            ports = ["input  wire clock", "input  wire clear", *ports]
        out = {wire.name: wire for wire in self.wires if wire.name in self.outputs}
        for wire in out.values():
            kind = "reg " if _is_case(wire.value) else "wire"
            ports.append(f"output {kind} {_kind(wire.value)}{wire.name}")
        ports += [f"output reg  {_kind(each.next)}{each.name}" for each in self.registers]
        lines = [f"// {self.purpose}", f"module {self.name} ("]
        lines += [f"{_INDENT}{port}{',' if place < len(ports) - 1 else ''}" for place, port in enumerate(ports)]
        lines.append(");")
        for wire in self.wires:
            lines += [_INDENT + line for line in _wire_lines(wire, declared=wire.name in out)]
        for each in self.registers:
            lines += [
                f"{_INDENT}always @(posedge clock)",
                f"{_INDENT * 2}if (clear) {each.name} <= {each.next.width}'d0;",
                f"{_INDENT * 2}else {each.name} <= {each.next.text};",
            ]
        return "\n".join([*lines, "endmodule", ""])


def _wire_lines(wire: Wire, declared: bool) -> list[str]:
    value = wire.value
    note = [f"// {wire.name}: {wire.note}"] if wire.note else []
    if not _is_case(value):
        start = f"assign {wire.name}" if declared else f"wire {_kind(value)}{wire.name}"
        return [*note, f"{start} = {value.text};"]
    declaration = [] if declared else [f"reg {_kind(value)}{wire.name};"]
    body = value.text.replace(" @ = ", f" {wire.name} = ").splitlines()
    return [*note, *declaration, "always @*", *(_INDENT + line for line in body)]


def _is_case(value: Expression) -> bool:
    return value.text.startswith("case (")


def _kind(value: Expression) -> str:
    sign = "signed " if value.signed else ""
    return f"{sign}[{value.width - 1}:0] " if value.width > 1 or value.signed else sign


def modules(units: Sequence[Unit]) -> str:
    """Several units in one file."""
    return "\n".join(unit.verilog() for unit in units)
