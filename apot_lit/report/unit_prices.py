"""Prices of arithmetic units from result files of hardware.py, and which way to write a unit is the cheapest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apot_lit.runs.contents import read_json

FILES = "hardware_*.json"
GATES, XILINX, XILINX_DSP, ICE40 = "gates", "xilinx7", "xilinx7_dsp", "ice40"
TARGET_NAMES = {
    GATES: "gates",
    XILINX: "Xilinx 7 series without DSPs",
    XILINX_DSP: "Xilinx 7 series with DSPs",
    ICE40: "Lattice iCE40",
}


@dataclass(frozen=True)
class Prices:
    """What several files of results hold together.

    Attributes:
        units: entries of prices, see `apot_lit.hardware.prices.measure_prices`.
        networks: entries of operations, see `apot_lit.hardware.operations.network_operations`.
        proofs: what was simulated and proved, one entry for each file that has it.
        facts: of each file its versions, commit, hardware and config.
    """

    units: Sequence[Mapping[str, Any]]
    networks: Sequence[Mapping[str, Any]]
    proofs: Sequence[Mapping[str, Any]]
    facts: Sequence[Mapping[str, Any]]

    def cheapest(self, unit: str, target: str, schemes: tuple[str, str], bit: int) -> Mapping[str, Any] | None:
        """The entry with the smallest area, then the shortest path; None where none was measured.

        Args:
            unit: multiplier, mac, dot, fixed, threshold or rescale.
            target: what it was mapped onto.
            schemes: of weights and activations.
            bit: of both.
        """
        wanted = (unit, *schemes, bit, bit)
        keys = ("unit", "weight_scheme", "act_scheme", "weight_bit", "act_bit")
        alike = [entry for entry in self.units if tuple(entry[key] for key in keys) == wanted]
        found = [entry for entry in alike if entry["target"] == target]
        if target == XILINX_DSP and found:  # what is no multiplication takes the same with and without DSPs
            multiplied = {entry["way"] for entry in found}
            found += [entry for entry in alike if entry["target"] == XILINX and entry["way"] not in multiplied]
        return min(found, key=lambda entry: (entry["area"], entry["delay"]), default=None)

    def bits(self, target: str) -> list[int]:
        """Bit widths for which a target has both APoT and uniform multiply-accumulates, ascending."""
        found = sorted({entry["weight_bit"] for entry in self.units if entry["target"] == target})
        return [bit for bit in found if all(self.cheapest("mac", target, (s, s), bit) for s in ("apot", "uniform"))]

    def per_operation(self, target: str, scheme: str, bit: int) -> float | None:
        """Area of a dot product's share for one multiplication with its addition; None where it was not measured."""
        entry = self.cheapest("dot", target, (scheme, scheme), bit)
        return None if entry is None else entry["area"] / entry["lanes"]


def read_prices(directory: Path) -> Prices | None:
    """Reads every file of prices of a directory, None if it has none.

    Raises:
        NotUsable: for a file that is damaged.
        LookupError, TypeError: for one that holds something else.
    """
    contents = [read_json(path) for path in sorted(directory.glob(FILES))]
    if not contents:
        return None
    kept = ("config", "versions", "commit", "hardware")
    return Prices(
        [entry for content in contents for entry in content.get("units", [])],
        [entry for content in contents for entry in content.get("networks", [])],
        [content for content in contents if "simulated" in content],
        [{key: content[key] for key in kept} for content in contents],
    )
