"""hardware.py ckpt_path=...: layers of a trained network in Verilog, with memories, and real digits to test them on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from apot_lit.data.options import DataOptions
from apot_lit.data.sources import load_set, placed
from apot_lit.evaluation.arithmetic import network_of_integers
from apot_lit.graph.steps import Step
from apot_lit.hardware.layer_testbench import INPUTS, PARAMETERS, RESULTS, TOP, WEIGHTS, layer_testbench
from apot_lit.hardware.layer_units import Layer, chosen_layers
from apot_lit.hardware.simulators import simulate
from apot_lit.hardware.verilog import modules
from apot_lit.integer import Executor, IntegerNetwork
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.runs.files import write_text
from apot_lit.runs.result import write_json
from apot_lit.stored.trained import read_any_trained

LAYER_FILE = "layer.json"
_UNITS = "units.v"


def read_integers(config: Mapping[str, Any]) -> tuple[IntegerNetwork, Tensor]:
    """The network of integers of a checkpoint, and the test images that its layers are tried on.

    The stream is chosen by the first 1,000 images that the network was trained with, as in `evaluate.py`.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.HardwareConfig`.

    Raises:
        UserError: if there is no such checkpoint, or it can't be integers.
    """
    digits = placed({}, config)["data_dir"]
    trained = read_any_trained(config["ckpt_path"], config["model"], config["quant"], digits)
    data = placed(trained.config["data"], config)
    integers = fold_batch_norms(network_of_integers(trained, data, config["export"]["stream_bit"]))
    return integers, load_set(DataOptions(**data), "test")[0][: config["images"]]


def write_layers(
    network: IntegerNetwork, images: Tensor, name: str | None, lanes: int, directory: Path
) -> dict[str, Path]:
    """Writes for a layer, or for all that read codes, its units, memories, test vectors and testbench.

    Args:
        network: the network.
        images: uint8 ``[N, 1, H, W]``.
        name: of the layer; None: all.
        lanes: products per clock.
        directory: gets a directory for each layer.

    Returns:
        The directories by layer.

    Raises:
        UserError: for a layer that there is not.
    """
    layers = chosen_layers(network, name, lanes)
    values = _values(network, images, {one.sums.inputs[0] for one in layers} | {one.after.output for one in layers})
    written = {}
    for layer in layers:
        written[layer.name] = directory / layer.name
        _write(layer, values[layer.sums.inputs[0]], values[layer.after.output], directory / layer.name)
    return written


def _values(network: IntegerNetwork, images: Tensor, wanted: set[str]) -> dict[str, npt.NDArray[np.int64]]:
    found: dict[str, npt.NDArray[np.int64]] = {}

    def watch(step: Step, value: Tensor) -> None:
        if step.output in wanted:
            found[step.output] = value.long().numpy()

    Executor(network, watch=watch)(images)
    return found


def _write(layer: Layer, read: npt.NDArray[np.int64], given: npt.NDArray[np.int64], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    weight, activation = layer.multiplication.operands()
    result_width = next(wire.value.width for wire in layer.behind.wires if wire.name == layer.behind.outputs[0])
    memories = {
        WEIGHTS: (layer.weight_words(), layer.lanes * weight.width),
        PARAMETERS: (layer.channel_words(), sum(width for _, width in layer.parameters)),
        INPUTS: (layer.activation_words(read), activation.width),
        RESULTS: (layer.result_words(given), result_width),
    }
    for file, (words, width) in memories.items():
        write_text(directory / file, "".join(f"{word:0{-(-width // 4)}x}\n" for word in words))
    write_text(directory / _UNITS, modules([layer.dot, layer.behind]))
    write_text(directory / f"{TOP}.v", layer_testbench(layer, read.shape, given.shape))
    facts = {
        "layer": layer.name,
        "product": layer.multiplication.way.words,
        "lanes": layer.lanes,
        "fan_in": layer.fan_in,
        "clocks_per_output": layer.chunks,
        "bits": {"weight": weight.width, "activation": activation.width, "sum": layer.width, "result": result_width},
        "channel_word": [{"port": port, "bits": bits} for port, bits in layer.parameters],
        "input_shape": list(read.shape),
        "result_shape": list(given.shape),
    }
    write_json(directory / LAYER_FILE, facts, directory)


def run_layer(directory: Path) -> str:
    """Simulates a layer that `write_layers` wrote, and returns what its testbench said.

    Raises:
        RuntimeError: if there is no simulator, or it ended early.
    """
    said = simulate([directory / _UNITS, directory / f"{TOP}.v"], TOP, directory)
    if "compared" not in said:
        raise RuntimeError(f"the testbench in {directory} ended early: {said.strip()[-200:]}")
    return said.strip()
