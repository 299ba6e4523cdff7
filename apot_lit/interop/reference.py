"""Checkpoints of the public APoT reference implementation (``model_best.pth.tar``, ``checkpoint.pth.tar``).

Such a file holds float weights and clipping thresholds under the names of its own network, wrapped in data
parallelism: ``module.layer1.0.conv1.act_alpha``. It says neither which network it is, nor the bit width or scheme.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.errors import UserError, user_values
from apot_lit.models import ARCHITECTURES, ResNet

MEAN, STD = 0.131, 0.308  # the reference normalises pixels with these
_ALPHAS = {"act_alpha": "act_quantizer.raw_alpha", "weight_alpha": "weight_quantizer.raw_alpha"}


def is_reference(checkpoint: Mapping[str, Any]) -> bool:
    """Tells whether a file read by `read_file` was written by the reference implementation."""
    state = checkpoint["state_dict"]
    return bool(state) and "hyper_parameters" not in checkpoint and all(name.startswith("module.") for name in state)


def reference_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the weights under this project's names.

    The reference lets a clipping threshold go negative; projection of weights being odd, its magnitude gives the
    same function.
    """
    state = {}
    for name, value in checkpoint["state_dict"].items():
        layer, _, leaf = name.removeprefix("module.").rpartition(".")
        if leaf in _ALPHAS:
            state[f"{layer}.{_ALPHAS[leaf]}"] = value.abs()
        else:
            state[f"{layer}.{leaf}"] = value
    return state


def reference_config(
    checkpoint: Mapping[str, Any], model: Mapping[str, Any] | None, bit: int | None, power: int, where: str
) -> dict[str, Any]:
    """Describes the network of a file the way a checkpoint of this project would, with the reference's arithmetic.

    Its first and last layers scale weights by their largest value rather than magnitude, its pixels are normalised
    with mean 0.131 and standard deviation 0.308, and its training split is all 60,000 images.

    Args:
        checkpoint: what `read_file` returned.
        model: the section ``model``, or None if the user gave none.
        bit: bit width, or None if the user gave none.
        power: 1 for APoT, 0 for uniform.
        where: key and value that named the file, for the message.

    Returns:
        Plain configuration with the sections ``model``, ``quant``, ``data`` (without directories and batch sizes)
        and ``seed``.

    Raises:
        UserError: if something is not given, or does not fit the file; it says what would fit.
    """
    state = reference_state(checkpoint)
    fits = fitting_options(state)
    quantised = any(name.endswith(".raw_alpha") for name in state)
    bits = "quant.bit=2 to 8" if quantised else "quant.bit=32"
    if model is None or bit is None:
        raise UserError(
            f"{where}: a file of the reference implementation does not say what network it holds; "
            f"give {fits or 'model=...'} and {bits}, and quant.power=0 if it is uniform"
        )
    if quantised == (bit == 32):
        has = "has clipping thresholds" if quantised else "has no clipping thresholds"
        raise UserError(f"{where}: the file {has}, which does not fit quant.bit={bit}; {bits} would")
    with torch.device("meta"), user_values("model"):
        network = ResNet(**model)
    mismatch = _first_mismatch(network, state)
    if mismatch is not None:
        raise UserError(f"{where}: does not fit model={model['name']}: {mismatch}; {fits or 'no model here'} fits")
    return {
        "seed": 0,
        "model": dict(model),
        "quant": {"bit": bit, "power": power, "edge_scale": "max"},
        "data": {"val_split": 0, "mean": MEAN, "std": STD},
    }


def fitting_options(state: Mapping[str, Tensor]) -> str | None:
    """Returns the options of a network that has exactly these weights, such as ``model=resnet10``, or None."""
    first = state.get("conv1.weight")
    if first is None or first.dim() != 4 or len(first) == 0:
        return None
    width = first.shape[0]
    stem = "reference" if first.shape[-1] == 7 else "small"
    for name in ARCHITECTURES:
        with torch.device("meta"):
            network = ResNet(name, "reference" if stem == "reference" else "small", width)
        if _first_mismatch(network, state) is None:
            options = [f"model={name}"]
            options += [f"model.width={width}"] if width != 16 else []
            options += ["model.stem=small"] if stem == "small" else []
            return " ".join(options)
    return None


def _first_mismatch(network: nn.Module, state: Mapping[str, Tensor]) -> str | None:
    own = network.state_dict()
    for name, value in own.items():
        if name not in state:
            return f"{name} is not in the file"
        if state[name].shape != value.shape:
            return f"{name} is {list(state[name].shape)} in the file and {list(value.shape)} in the model"
    surplus = [name for name in state if name not in own and not name.endswith(".raw_alpha")]
    return f"the file has {surplus[0]}, which the model has not" if surplus else None
