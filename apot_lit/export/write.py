"""export.py: writes a trained network in one of the formats, and verifies what it wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from apot_lit.data.embedded import load_idx_pair
from apot_lit.errors import UserError
from apot_lit.evaluation.cost import cost_table, measure_cost
from apot_lit.export.c_source import write_c
from apot_lit.export.engines import CEngine, OnnxEngine, PackedEngine
from apot_lit.export.onnx_model import build_onnx, float_layers
from apot_lit.export.place import placing, refuse_occupied
from apot_lit.export.verify import Engine, Verification, verify
from apot_lit.graph.steps import Step
from apot_lit.graph.trace import build_steps
from apot_lit.runs.protocol import row
from apot_lit.runs.provenance import versions
from apot_lit.runs.result import write_json
from apot_lit.stored.needs import require_packages
from apot_lit.stored.packed import save_packed
from apot_lit.stored.trained import read_any_trained

FORMATS = {"onnx": "network.onnx", "packed": "network.safetensors", "header": "c"}
VERIFY = "verify"
EXPORT_FILE = "export.json"
INPUT_SHAPE = (1, 28, 28)


def export(config: Mapping[str, Any]) -> dict[str, Any]:
    """Exports a checkpoint, or verifies an earlier export.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.ExportConfig`.

    Returns:
        The content of ``export.json``.

    Raises:
        UserError: for an output that exists, a network that can't be exported, an export that is not
            the same function as the checkpoint.
    """
    kind = config["format"]
    output_dir = Path(config["paths"]["output_dir"])
    output = Path(config["output"]) if config["output"] is not None else output_dir / FORMATS.get(kind, "")
    written = kind == VERIFY
    if written:
        if config["output"] is None or not output.exists():
            raise UserError(f"output={config['output']}: name the export to verify, a file or directory that exists")
        kind = _kind_of(output)
    else:
        refuse_occupied(kind, output, config["overwrite"])
    require_packages(kind, f"format={kind}")
    trained, network, _ = read_any_trained(config["ckpt_path"], config["model"], config["quant"], config["data_dir"])
    network.eval()
    steps = build_steps(network)

    images, _ = load_idx_pair(Path(config["data_dir"]), "test", config["download"])
    if written:
        verification = verify(network, _engine(kind, output, steps), images)
    else:
        with placing(output) as scratch:
            _write(kind, scratch, network, steps, trained)
            verification = verify(network, _engine(kind, scratch, steps), images)
    cost = measure_cost(network, (1, *INPUT_SHAPE))
    result = {
        "ckpt_path": config["ckpt_path"],
        "format": kind,
        "output": str(output),
        "bytes": sum(path.stat().st_size for path in ([output] if output.is_file() else output.iterdir())),
        "float_layers": float_layers(steps),
        "verification": verification.to_dict(),
        "cost": cost.to_dict(),
        "config": trained,
        "versions": versions(),
    }
    write_json(output_dir / EXPORT_FILE, result, config["paths"]["root_dir"])
    _print(result, cost_table(cost), verification, trained)
    files = [*([] if written else [output]), output_dir / EXPORT_FILE]
    print("written:", *files, sep="\n  ")
    return result


def _write(kind: str, path: Path, network: nn.Module, steps: list[Step], trained: Mapping[str, Any]) -> None:
    if kind == "onnx":
        model = build_onnx(steps, INPUT_SHAPE, {**_facts(trained), "float_layers": float_layers(steps)})
        path.write_bytes(model.SerializeToString())
    elif kind == "packed":
        try:
            save_packed(network, trained, path)
        except ValueError as error:
            raise UserError(f"format=packed: {error}") from error
    else:
        write_c(steps, INPUT_SHAPE, ", ".join(map(str, _facts(trained).values())), path)


def _engine(kind: str, output: Path, steps: list[Step]) -> Engine:
    if kind == "onnx":
        return OnnxEngine(output, steps)
    if kind == "packed":
        return PackedEngine(output)
    return CEngine(output, steps, INPUT_SHAPE)


def _kind_of(output: Path) -> str:
    if output.is_dir():
        return "header"
    kinds = {Path(name).suffix: kind for kind, name in FORMATS.items() if kind != "header"}
    if output.suffix not in kinds:
        raise UserError(f"output={output}: must be a directory, or end in {' or '.join(kinds)}")
    return kinds[output.suffix]


def _facts(trained: Mapping[str, Any]) -> dict[str, Any]:
    kind = row(trained)
    return {"network": kind.model, "bit": kind.bit, "scheme": kind.scheme}


def _print(result: Mapping[str, Any], table: str, verification: Verification, trained: Mapping[str, Any]) -> None:
    print(table, end="\n\n")
    if row(trained).scheme == "float":
        print("full precision: this export computes in floats throughout")
    elif result["float_layers"]:
        print(f"computed in floats: {', '.join(result['float_layers'])} (and batch norms, sums, pooling)")
    print(verification)
    print(f"{result['output']}: {result['bytes']:,} bytes")
