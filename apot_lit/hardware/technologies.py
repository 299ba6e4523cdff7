"""What units are mapped onto, and what they take there."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apot_lit.hardware.verilog import Unit
from apot_lit.hardware.yosys import run_yosys

_TOP = "all_units"
_CELLS, _DEPTHS = "cells.json", "depths.txt"
# Tables are logic, no memories; multiplications are as narrow as they get, but whole.
_PREPARED = ("proc -norom", "opt_expr", "opt_clean", "wreduce")
_XILINX = "synth_xilinx -family xc7 -noiopad -noclkbuf"


@dataclass(frozen=True)
class Target:
    """A technology.

    Attributes:
        name: for options and results.
        words: for people.
        area: what is counted as area.
        commands: what maps all units onto its cells.
        statistics: what `stat` is told of it.
        timing: what reads the delays of its cells; empty: the longest path is counted in cells.
        starts: what is run before these commands. Each of several starts is tried, and the smallest result counts: what
            a synthesiser finds hangs on such details.
    """

    name: str
    words: str
    area: str
    commands: tuple[str, ...]
    statistics: str = ""
    timing: str = ""
    starts: tuple[tuple[str, ...], ...] = (_PREPARED,)

    @property
    def speed(self) -> str:
        """What the longest path is measured in."""
        return "ps" if self.timing else "gates"


TARGETS = {
    target.name: target
    for target in (
        Target(
            "gates",
            "inverters, NAND, NOR, AOI, OAI, XOR, XNOR and flip-flops",
            "transistors",
            (f"synth -top {_TOP}", "dfflegalize -cell $_DFF_P_ x", "abc -g cmos4,XOR,XNOR", "opt_clean"),
            statistics="-tech cmos",
            starts=(_PREPARED, ("proc -norom",)),
        ),
        Target(
            "xilinx7",
            "Xilinx 7 series without DSPs",
            "LUTs",
            (f"{_XILINX} -nodsp -top {_TOP}",),
            timing="read_verilog -specify -lib +/xilinx/cells_sim.v",
        ),
        Target(
            "xilinx7_dsp",
            "Xilinx 7 series with DSPs",
            "LUTs",
            (f"{_XILINX} -top {_TOP}",),
            timing="read_verilog -specify -lib +/xilinx/cells_sim.v",
        ),
        Target(
            "ice40",
            "Lattice iCE40",
            "LUTs",
            (f"synth_ice40 -abc9 -device hx -top {_TOP}",),
            timing="read_verilog -specify -lib -D ICE40_HX +/ice40/cells_sim.v",
        ),
    )
}


@dataclass(frozen=True)
class Price:
    """What a unit takes.

    Attributes:
        cells: how many of each kind.
        area: LUTs, or transistors.
        dsps: DSP blocks.
        registers: flip-flops.
        delay: longest path: in gates, or in picoseconds within cells, wires between them left out.
    """

    cells: Mapping[str, int]
    area: int
    dsps: int
    registers: int
    delay: int


def price_all(target: Target, units: Sequence[Unit], booth: Sequence[str] = ()) -> dict[str, Price]:
    """Maps units onto a target's cells, each by itself, and counts.

    One run takes all: each is kept as a module, so that the rest of the run is paid once.

    Args:
        target: the technology.
        units: what to map, each under a name of its own.
        booth: names of those whose multiplication is to be a Booth multiplier.

    Returns:
        The prices by name.

    Raises:
        UserError, RuntimeError: see `run_yosys`.
    """
    tries = [_priced(target, start, units, booth) for start in target.starts]
    return {unit.name: min((one[unit.name] for one in tries if unit.name in one), key=_cost) for unit in units}


def _cost(price: Price) -> tuple[int, int]:
    return price.area, price.delay


def _priced(target: Target, start: Sequence[str], units: Sequence[Unit], booth: Sequence[str]) -> dict[str, Price]:
    if start != _PREPARED:  # a Booth multiplier is made of a multiplication that is still there
        units = [unit for unit in units if unit.name not in booth]
    text = "\n".join(f"(* keep_hierarchy *)\n{unit.verilog()}" for unit in units)
    script = ["read_verilog units.v", f"hierarchy -check -top {_TOP}", *start]
    script += [f"booth {name}" for name in booth if start == _PREPARED]
    script += [*target.commands, f"tee -q -o {_CELLS} stat -json {target.statistics}"]
    if target.timing:
        script += [target.timing, *(f"tee -q -a {_DEPTHS} sta {unit.name}" for unit in units)]
        pattern = r"Latest arrival time in '(\w+)' is (\d+)"
    else:
        script.append(f"tee -q -o {_DEPTHS} ltp -noff")
        pattern = r"Longest topological path in (\w+) \(length=(\d+)\)"
    found = run_yosys(script, {"units.v": text + _wrapper(units)}, [_CELLS, _DEPTHS])
    modules = json.loads(found[_CELLS])["modules"]
    delays = {name: int(delay) for name, delay in re.findall(pattern, found[_DEPTHS])}
    return {unit.name: _price(modules[f"\\{unit.name}"], delays.get(unit.name, 0)) for unit in units}


def _price(module: Mapping[str, object], delay: int) -> Price:
    cells: dict[str, int] = dict(module["num_cells_by_type"])  # type: ignore[call-overload]
    transistors = module.get("estimated_num_transistors")
    area = sum(count for kind, count in cells.items() if re.match(r"LUT\d|INV$|SB_LUT4", kind))
    registers = sum(count for kind, count in cells.items() if re.match(r"FD|SB_DFF|\$_DFF", kind))
    dsps = sum(count for kind, count in cells.items() if "DSP" in kind)
    return Price(cells, area if transistors is None else int(str(transistors)), dsps, registers, delay)


def _wrapper(units: Sequence[Unit]) -> str:
    """A module around all units, whose ports are theirs."""
    ports, instances = ["input wire clock", "input wire clear"], []
    for unit in units:
        outputs = {wire.name: wire.value for wire in unit.wires if wire.name in unit.outputs}
        outputs |= {each.name: each.next for each in unit.registers}
        wired = [".clock(clock)", ".clear(clear)"] if unit.registers else []
        for direction, named in (("input", {port.text: port for port in unit.inputs}), ("output", outputs)):
            for name, value in named.items():
                ports.append(f"{direction} wire [{value.width - 1}:0] {unit.name}_{name}")
                wired.append(f".{name}({unit.name}_{name})")
        instances.append(f"    {unit.name} the_{unit.name} ({', '.join(wired)});")
    return "\n".join([f"module {_TOP} (", "    " + ",\n    ".join(ports), ");", *instances, "endmodule", ""])
