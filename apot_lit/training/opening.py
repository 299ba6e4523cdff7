"""What a training says before its first step: what is trained, on what, how, and where it is written."""

from collections.abc import Mapping
from typing import Any

from apot_lit.data.datamodule import Split
from apot_lit.runs.protocol import SCHEME_NAMES, row
from apot_lit.runs.text import counted, processor
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.trainer import wants_channels_last


def opening(
    config: Mapping[str, Any],
    classifier: QuantClassifier,
    split_sizes: Mapping[Split, int],
    hardware: Mapping[str, Any],
) -> str:
    """Describes a training in a few lines.

    Args:
        config: plain, resolved configuration of train.py.
        classifier: the module to train.
        split_sizes: number of images by split.
        hardware: what `apot_lit.runs.provenance.hardware` says of the device.

    Returns:
        Lines of a name and a value each.
    """
    data, trainer, model = config["data"], config["trainer"], config["model"]
    parameters = sum(parameter.numel() for parameter in classifier.network.parameters())
    used = {
        split: name for split, name in _SPLITS.items() if split_sizes[split] and (split != "test" or config["test"])
    }
    images = ", ".join(f"{split_sizes[split]:,} {name}" for split, name in used.items())
    lines = {
        "network": f"{_network(model)}, {parameters:,} parameters",
        "quantised": _quantised(config),
        "images": images,
        "device": _device(trainer, hardware),
        "recipe": f"{config['recipe']}: {config['optimizer']['name']} {config['optimizer']['lr']:g}, "
        f"{config['scheduler']['name']}, {counted(trainer['max_epochs'], 'epoch')}, batches of {data['batch_size']}",
        "seed": str(config["seed"]),
        "output": config["paths"]["output_dir"],
    }
    return "\n".join(f"{name:<10} {value}" for name, value in lines.items())


_SPLITS: dict[Split, str] = {"train": "for training", "val": "for validation", "test": "for the test"}


def _network(model: Mapping[str, Any]) -> str:
    if "library" not in model:
        return f"{model['name']}, width {model['width']}, {model['stem']} stem"
    enlarged = "" if model["enlarge"] is None else f", images enlarged to {model['enlarge']}x{model['enlarge']}"
    return f"{model['name']} of {model.get('_target_', model['library'])}{enlarged}"


def _quantised(config: Mapping[str, Any]) -> str:
    kind, quant = row(config), config["quant"]
    if kind.scheme == "float":
        return "nothing: full precision"
    bits = [quant["bit"] if quant[key] is None else quant[key] for key in ("weight_bit", "act_bit")]
    inner = f"{bits[0]} bits" if bits[0] == bits[1] else f"weights {bits[0]} bits, activations {bits[1]} bits"
    edges = f"first layer {quant['first_bit']} bits, last {quant['last_bit']} bits"
    fitted = ""
    if quant["calibrate"] is not None:
        images = counted(quant["calibrate"] * config["data"]["batch_size"], "image")
        fitted = f"; fitted to {images}, {quant['rounding']} rounding"
    return f"{SCHEME_NAMES[kind.scheme]}, {inner}; {edges}{fitted}"


def _device(trainer: Mapping[str, Any], hardware: Mapping[str, Any]) -> str:
    gpu = hardware["device"] != "cpu"
    where = hardware["device"] if gpu else processor(hardware)
    ways = ["channels-last"] if wants_channels_last(trainer, gpu) else []
    ways += ["compiled"] if trainer["compile"] else []
    ways += [trainer["precision"]] if trainer["precision"] != "32-true" else []
    return ", ".join([where, *ways])
