"""Testbenches that feed units rows of inputs, and compare what they give with what it must be."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apot_lit.hardware.expressions import Expression
from apot_lit.hardware.simulators import simulate
from apot_lit.hardware.verilog import Unit, modules
from apot_lit.runs.files import write_text

TOP = "testbench"
_CLEAR = "clear"
_SAID = re.compile(r"^(\w+): (\d+) compared, (\d+) different", re.MULTILINE)


@dataclass(frozen=True)
class Trial:
    """A unit, and rows of values that it is tested with.

    Attributes:
        unit: the unit; one with registers gets a clock for each row.
        rows: by name the inputs (`clear` too, if it has registers) and what the outputs must be then, as integers.
    """

    unit: Unit
    rows: Mapping[str, Sequence[int]]

    @property
    def ports(self) -> list[tuple[str, int]]:
        """Names and widths of what a row holds, the last one lowest."""
        inputs = {_CLEAR: 1} if self.unit.registers else {}
        inputs |= {port.text: port.width for port in self.unit.inputs}
        return [*inputs.items(), *((name, value.width) for name, value in self.outputs.items())]

    @property
    def outputs(self) -> dict[str, Expression]:
        """What is compared."""
        found = {wire.name: wire.value for wire in self.unit.wires if wire.name in self.unit.outputs}
        return found | {each.name: each.next for each in self.unit.registers}

    def memory(self) -> str:
        """The rows as lines of hexadecimal digits."""
        width = sum(each for _, each in self.ports)
        lines = []
        for values in zip(*(self.rows[name] for name, _ in self.ports), strict=True):
            word = 0
            for value, (_, bits) in zip(values, self.ports, strict=True):
                word = (word << bits) | (value & ((1 << bits) - 1))
            lines.append(f"{word:0{-(-width // 4)}x}")
        return "\n".join([*lines, ""])


@dataclass(frozen=True)
class Compared:
    """What a simulation found.

    Attributes:
        unit: name of the unit.
        compared: rows.
        different: rows in which an output was not what it must be.
    """

    unit: str
    compared: int
    different: int


def run_trials(trials: Sequence[Trial], directory: Path) -> list[Compared]:
    """Simulates units, all in one testbench, which stays in a directory with all that it needs.

    Raises:
        RuntimeError: if there is no simulator, it refuses the Verilog, or a unit was not compared.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "units.v", modules([trial.unit for trial in trials]))
    write_text(directory / f"{TOP}.v", _testbench(trials))
    for trial in trials:
        write_text(directory / f"{trial.unit.name}.mem", trial.memory())
    said = simulate([directory / "units.v", directory / f"{TOP}.v"], TOP, directory)
    found = [Compared(name, int(compared), int(different)) for name, compared, different in _SAID.findall(said)]
    if sorted(one.unit for one in found) != sorted(trial.unit.name for trial in trials):
        raise RuntimeError(f"the testbench in {directory} ended early: {said.strip()[-200:]}")
    return found


def _testbench(trials: Sequence[Trial]) -> str:
    lines = [f"module {TOP};"]
    for place, trial in enumerate(trials):
        lines += [f"    {line}" for line in _block(f"t{place}", trial)]
    return "\n".join([*lines, "endmodule", ""])


def _block(prefix: str, trial: Trial) -> list[str]:
    """Memory, instance and loop of one unit, whose names begin alike."""
    name, count = trial.unit.name, len(next(iter(trial.rows.values())))
    wired, compared, low = [], [], 0
    declarations = []
    for port, width in reversed(trial.ports):
        bits = f"{prefix}_row[{low + width - 1}:{low}]"
        low += width
        if port in trial.outputs:
            declarations.append(f"wire [{width - 1}:0] {prefix}_{port};")
            wired.append(f".{port}({prefix}_{port})")
            compared.append(f"{prefix}_{port} !== {bits}")
        else:
            wired.append(f".{port}({bits})")
    clocked = [f".clock({prefix}_clock)"] if trial.unit.registers else []
    tick = f" {prefix}_clock = 1; #1 {prefix}_clock = 0; #1" if trial.unit.registers else ""
    return [
        f"reg [{low - 1}:0] {prefix}_rows [0:{count - 1}];",
        f"reg [{low - 1}:0] {prefix}_row;",
        f"reg {prefix}_clock;",
        f"integer {prefix}_place, {prefix}_different;",
        *declarations,
        f"{name} {prefix}_unit ({', '.join([*clocked, *wired])});",
        "initial begin",
        f'    $readmemh("{name}.mem", {prefix}_rows);',
        f"    {prefix}_different = 0;",
        f"    {prefix}_clock = 0;",
        f"    for ({prefix}_place = 0; {prefix}_place < {count}; {prefix}_place = {prefix}_place + 1) begin",
        f"        {prefix}_row = {prefix}_rows[{prefix}_place];",
        f"        #1{tick};",
        f"        if ({' || '.join(compared)}) {prefix}_different = {prefix}_different + 1;",
        "    end",
        f'    $display("{name}: {count} compared, %0d different", {prefix}_different);',
        "end",
    ]
