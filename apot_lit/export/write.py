"""export.py: writes a trained network in one of the formats, and verifies what it wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.data.options import DataOptions
from apot_lit.data.sources import class_names, load_set, placed
from apot_lit.errors import UserError
from apot_lit.evaluation.arithmetic import network_of_integers, operations_facts, operations_text
from apot_lit.evaluation.cost import cost_table, measure_cost
from apot_lit.export.micro_source import MICRO_SOURCE
from apot_lit.export.place import placing, refuse_occupied
from apot_lit.export.verify import Engine, verify
from apot_lit.integer.executor import Executor
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.integer.network import IntegerNetwork
from apot_lit.integer.trimming import trim_taps
from apot_lit.runs.protocol import SCHEME_NAMES, row
from apot_lit.runs.provenance import commit, versions
from apot_lit.runs.result import write_json
from apot_lit.runs.text import counted, percent
from apot_lit.stored.needs import require_packages
from apot_lit.stored.packed import require_same, save_packed
from apot_lit.stored.trained import read_any_trained

MICROCONTROLLER = "microcontroller"
FORMATS = {
    "onnx": "network.onnx",
    "packed": "network.safetensors",
    "web": "network.html",
    "c": "c",
    MICROCONTROLLER: MICROCONTROLLER,
}
VERIFY = "verify"
EXPORT_FILE = "export.json"
_BATCH = 500


def export(config: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a network of integers of a checkpoint and writes it, or verifies an earlier export.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.ExportConfig`.

    Returns:
        The content of ``export.json``.

    Raises:
        UserError: for an output that exists, a network that can't be integers, an export that is not the same function.
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
    digits = placed({}, config)["data_dir"]
    trained = read_any_trained(config["ckpt_path"], config["model"], config["quant"], digits)
    data = placed(trained.config["data"], config)
    if kind == "web":
        require_drawable(data)
    network = trained.network.eval()
    integers = network_of_integers(trained, data, config["export"]["stream_bit"])
    images, labels = load_set(DataOptions(**data), "test")
    arithmetic = _compare_arithmetic(network, integers, images, labels)
    if written:
        verification = verify(integers, engine_of(kind, output), images, stored_in(kind, integers))
        if kind == "packed":
            require_same(output, network, integers, trained.config)
    else:
        with placing(output) as scratch:
            facts = {**_facts(trained.config), **arithmetic}
            write_format(kind, scratch, network, integers, facts, trained.config, (images, labels))
            verification = verify(integers, engine_of(kind, scratch), images, stored_in(kind, integers))
    cost = measure_cost(network, (1, *integers.input_shape))
    result = {
        "ckpt_path": config["ckpt_path"],
        "format": kind,
        "output": str(output),
        "bytes": sum(path.stat().st_size for path in ([output] if output.is_file() else output.iterdir())),
        "stream_bit": integers.stream_bit,
        "fraction": integers.fraction,
        "logit_scale": integers.logit_scale,
        "arithmetic": arithmetic,
        **operations_facts(integers),
        "verification": verification.to_dict(),
        "cost": cost.to_dict(),
        "config": trained.config,
        "versions": versions(),
    }
    write_json(output_dir / EXPORT_FILE, result, config["paths"]["root_dir"])
    print(cost_table(cost), operations_text(integers), sep="\n\n", end="\n\n")
    print(_arithmetic_text(integers, arithmetic, len(images)))
    print(verification)
    print(f"{result['output']}: {result['bytes']:,} bytes")
    files = [*([] if written else [output]), output_dir / EXPORT_FILE]
    print("written:", *files, sep="\n  ")
    return result


def write_format(
    kind: str,
    path: Path,
    network: nn.Module,
    integers: IntegerNetwork,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    test_set: tuple[Tensor, Tensor],
) -> None:
    """Writes a network in one of the formats.

    Args:
        kind: the format.
        path: file or directory to write.
        network: in floats.
        integers: what `to_integers` made of it, batch norms not folded.
        facts: what an export says of the network; ``network``, ``scheme`` and ``bit`` for a page.
        config: of the training, for a packed file.
        test_set: images and labels, for a page.

    Raises:
        UserError: for a network that the format can't hold.
    """
    # Each format needs packages of its own, or a compiler, that the others do without.
    if kind == "onnx":
        from apot_lit.export.onnx_model import build_onnx

        path.write_bytes(build_onnx(integers, {**facts, **_data_facts(config)}).SerializeToString())
    elif kind == "packed":
        save_packed(network, integers, config, path)
    elif kind == "web":
        from apot_lit.export.web import write_web

        title = f"{facts['network']}, {SCHEME_NAMES[facts['scheme']]}, {facts['bit']} bits"
        write_web(fold_batch_norms(integers), title, *test_set, path)
    else:
        title = ", ".join(f"{name} {value}" for name, value in facts.items())
        if kind == MICROCONTROLLER:
            from apot_lit.export.micro_source import write_micro

            write_micro(integers, title, path)
        else:
            from apot_lit.export.c_source import write_c

            write_c(fold_batch_norms(integers), title, path)


def stored_in(kind: str, integers: IntegerNetwork) -> IntegerNetwork:
    """The network whose weights and codes an export holds: one for microcontrollers lacks what only padding reads."""
    return trim_taps(integers) if kind == MICROCONTROLLER else integers


def engine_of(kind: str, output: Path) -> Engine:
    """What runs an export.

    Raises:
        UserError: if it can't be run.
    """
    if kind == "onnx":
        from apot_lit.export.onnx_engine import OnnxEngine

        return OnnxEngine(output)
    if kind == "packed":
        from apot_lit.export.packed_engine import PackedEngine

        return PackedEngine(output)
    if kind == "web":
        from apot_lit.export.web_engine import WebEngine

        return WebEngine(output)
    if kind == MICROCONTROLLER:
        from apot_lit.export.micro_engine import MicroEngine

        return MicroEngine(output)
    from apot_lit.export.c_engine import CEngine

    return CEngine(output)


def _kind_of(output: Path) -> str:
    if output.is_dir():
        return MICROCONTROLLER if (output / MICRO_SOURCE).exists() else "c"
    kinds = {Path(name).suffix: kind for kind, name in FORMATS.items() if Path(name).suffix}
    if output.suffix not in kinds:
        raise UserError(f"output={output}: must be a directory, or end in {' or '.join(kinds)}")
    return kinds[output.suffix]


def require_drawable(data: Mapping[str, Any]) -> None:
    """Refuses a page for what nobody draws on it: it is made for digits in grey, as those of MNIST.

    Raises:
        UserError: for a network of another data set.
    """
    source = data.get("source", DataOptions.source)
    if source != DataOptions.source:
        raise UserError(f"format=web: is a page for digits as MNIST has them, the network is of data.source={source}")


def _data_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Which images a network was trained on, none for one of other code."""
    if not config:
        return {}
    options = DataOptions(**{"data_dir": "", **config["data"]})
    return {"source": options.source, "classes": class_names(options)}


def _facts(config: Mapping[str, Any]) -> dict[str, Any]:
    kind = row(config)
    return {"network": kind.model, "bit": kind.bit, "scheme": kind.scheme, "commit": commit()}


@torch.no_grad()
def _compare_arithmetic(network: nn.Module, integers: IntegerNetwork, images: Tensor, labels: Tensor) -> dict[str, int]:
    """How many test images the network gets right in floats and in integers, and on how many the two differ."""
    executor = Executor(integers)
    found = torch.cat([executor(batch).argmax(1) for batch in images.split(_BATCH)])
    floats = torch.cat([network(batch).argmax(1) for batch in images.split(_BATCH)])
    right = {"right": int((found == labels).sum()), "right_in_floats": int((floats == labels).sum())}
    return {"test_images": len(images), **right, "differing_predictions": int((found != floats).sum())}


def _arithmetic_text(integers: IntegerNetwork, arithmetic: Mapping[str, int], count: int) -> str:
    accuracy, floats = (percent(arithmetic[key] / count) for key in ("right", "right_in_floats"))
    differing = arithmetic["differing_predictions"]
    return (
        f"network of integers: stream of {integers.stream_bit} bits, {integers.fraction} of them fractional\n"
        f"{accuracy} of {counted(count, 'test image')} right, {floats} in floats; {differing:,} predictions differ"
    )
