"""What the project wants to reach, and whether a run of the benchmark did."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

Result = Mapping[str, Any]

STANDARD = {"width": 16, "batch_size": 128}
"""The targets hold for networks of this width and batches of this size."""


def compare_with_targets(result: Result) -> list[dict[str, Any]]:
    """Compares what was measured with the targets.

    Returns:
        For each target its ``name``, ``target`` in words, the ``measured`` value and whether it was ``met``; the last
        two are None where the run did not measure it.
    """
    config = result["config"]
    standard = {"width": config["width"], "batch_size": config["data"]["batch_size"]} == STANDARD
    compared = []
    for name, at_most, limit, read in _TARGETS:
        measured = read(result) if standard else None
        met = None if measured is None else measured <= limit if at_most else measured >= limit
        target = f"{'at most' if at_most else 'at least'} {limit:g}"
        compared.append({"name": name, "target": target, "measured": measured, "met": met})
    return compared


def compare_inference_with_targets(result: Result) -> list[dict[str, Any]]:
    """Compares speeds of exported C with the targets, for ResNet-18 with each of its stems and APoT of 4 bits.

    Args:
        result: the content of an ``inference.json``.

    Returns:
        As `compare_with_targets`.
    """
    compared = []
    for stem, ((engine, kernels), limits) in product(("reference", "small"), _INFERENCE_TARGETS.items()):
        rows = [row for row in result["rows"] if row.get("stem", "reference") == stem]
        network = "ResNet-18, APoT 4 bits" if stem == "reference" else f"ResNet-18, {stem} stem, APoT 4 bits"
        for batch, limit in limits.items():
            wanted = {"model": "resnet18", "scheme": "apot", "bit": 4, "engine": engine, "batch": batch, "threads": 1}
            is_there = result["kernels"].get(engine) == kernels and result["config"]["width"] == STANDARD["width"]
            measured = _median(rows, "ratio", **wanted) if is_there else None
            met = None if measured is None else measured >= limit
            name = f"{network}, {kernels} kernels, batch {batch}, to float32 ONNX"
            compared.append({"name": name, "target": f"at least {limit:g}", "measured": measured, "met": met})
    return compared


def _step(model: str, variant: str) -> Callable[[Result], float | None]:
    wanted = {"model": model, "scheme": "apot", "bit": 5, "variant": variant}

    def read(result: Result) -> float | None:
        return _median(result["steps"], "ratio", **wanted)

    return read


def _projection(name: str, value: str) -> Callable[[Result], float | None]:
    def read(result: Result) -> float | None:
        return _median(result["projection"]["rows"], value, name=name)

    return read


def _epoch(result: Result) -> float | None:
    ratio: float = result["epoch"]["ratio"]
    return ratio if result["epoch"]["model"] == "resnet18" else None


def _share(result: Result) -> float | None:
    share: float = result["pipeline"]["step_share"]
    return share if result["pipeline"]["step_model"] == "resnet18" else None


def _median(rows: list[dict[str, Any]], value: str, **wanted: Any) -> float | None:
    """Median of a value in the row that has all the wanted entries, None where there is none."""
    for row in rows:
        if all(row[key] == wish for key, wish in wanted.items()):
            median: float = row[value]["median"]
            return median
    return None


# Engine and the kernels it must have run with, to speed relative to float32 ONNX by the batch; the same for both stems.
_INFERENCE_TARGETS = {
    ("C", "AVX-512 VNNI"): {1: 3.0, 128: 2.0},
    ("C, AVX2", "AVX2"): {1: 2.0, 128: 1.0},
    ("C, portable", "portable"): {1: 0.5, 128: 0.5},
}
# Name, whether the limit is an upper one, the limit, and how to read the measured value.
_TARGETS: list[tuple[str, bool, float, Callable[[Result], float | None]]] = [
    ("ResNet-18 step, APoT 5 bits, as by default, to float32", True, 1.0, _step("resnet18", "channels_last")),
    ("ResNet-18 step, APoT 5 bits, compiled, to float32", True, 0.9, _step("resnet18", "compiled")),
    (
        "ResNet-18 step, APoT 8 bits to 2 bits",
        True,
        1.05,
        lambda result: _median(result["step_8_to_2"], "ratio", model="resnet18"),
    ),
    ("ResNet-50 step, APoT 5 bits, as by default, to float32", True, 1.0, _step("resnet50", "channels_last")),
    ("projection, times faster than the distance matrix", False, 15, _projection("half_grid", "speedup")),
    ("projection, eager, in memory copies", True, 8, _projection("half_grid", "to_copy")),
    ("projection, compiled, in memory copies", True, 4, _projection("half_grid_compiled", "to_copy")),
    (
        "input pipeline, times faster than torchvision and DataLoader",
        False,
        20,
        lambda result: float(result["pipeline"]["speedup"]["median"]),
    ),
    ("input pipeline, share of a float32 ResNet-18 step", True, 0.05, _share),
    ("whole epoch through the Trainer, to a bare loop", True, 1.05, _epoch),
]
