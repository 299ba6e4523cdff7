"""Reading checkpoints: never running code from the file, one line for whatever is wrong with it."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.errors import UserError

CONFIG_SECTIONS = ("model", "quant", "data", "optimizer", "scheduler")
_NETWORK_PREFIX = "network."


def read_file(path: str | Path, key: str) -> dict[str, Any]:
    """Reads a file of weights without running any code in it.

    Args:
        path: the file.
        key: the configuration key that named it, for the message.

    Returns:
        The dictionary in the file, tensors on the CPU; it has a ``state_dict``.

    Raises:
        UserError: if there is no such file, or it is a directory, damaged, or anything but a checkpoint.
    """
    where = f"{key}={path}"
    if not Path(path).exists():
        raise UserError(f"{where}: there is no such file")
    if Path(path).is_dir():
        raise UserError(f"{where}: is a directory; name the file in it, such as checkpoints/best.ckpt")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).strip().partition("\n")[0][:120]
        raise UserError(f"{where}: is damaged or not a checkpoint ({type(error).__name__}: {reason})") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), Mapping):
        raise UserError(f"{where}: is not a checkpoint (it has no state_dict)")
    return checkpoint


def load_checkpoint(path: str | Path, key: str = "ckpt_path") -> dict[str, Any]:
    """Reads a checkpoint written by `train.py`.

    Args:
        path: the file.
        key: the configuration key that named it, for the message.

    Raises:
        UserError: as `read_file`, and for a checkpoint that carries no configuration.
    """
    checkpoint = read_file(path, key)
    require_config(checkpoint, f"{key}={path}")
    return checkpoint


def require_config(checkpoint: Mapping[str, Any], where: str) -> None:
    """Checks that a file read by `read_file` was written by `train.py`.

    Args:
        checkpoint: what `read_file` returned.
        where: key and value that named the file, for the message.

    Raises:
        UserError: if it carries no configuration.
    """
    hyper_parameters = checkpoint.get("hyper_parameters")
    config = hyper_parameters.get("config") if isinstance(hyper_parameters, Mapping) else None
    if not isinstance(config, Mapping) or not all(section in config for section in CONFIG_SECTIONS):
        raise UserError(f"{where}: is not a checkpoint of this project (it carries no configuration)")


def checkpoint_config(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the resolved configuration that a checkpoint carries."""
    config: dict[str, Any] = checkpoint["hyper_parameters"]["config"]
    return config


def network_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the state of the network alone, with the names it has within the network."""
    state = checkpoint["state_dict"]
    return {k.removeprefix(_NETWORK_PREFIX): v for k, v in state.items() if k.startswith(_NETWORK_PREFIX)}


def load_network(network: nn.Module, state: Mapping[str, Tensor], where: str, allow_alphas: bool = False) -> None:
    """Loads weights that must fit the network.

    Args:
        network: the network to load into.
        state: what `network_state` returned.
        where: key and value that named the file, for the message.
        allow_alphas: let clipping thresholds be missing from, or left over in, `state`: from full precision to
            quantised and back.

    Raises:
        UserError: naming the first names or shapes that disagree.
    """
    own = network.state_dict()

    def matters(name: str) -> bool:
        return not (allow_alphas and name.endswith(".raw_alpha"))

    missing = [name for name in own if name not in state and matters(name)]
    surplus = [name for name in state if name not in own and matters(name)]
    shapes = [
        f"{name} is {list(state[name].shape)} in the file and {list(own[name].shape)} here"
        for name in own
        if name in state and own[name].shape != state[name].shape
    ]
    problems = [
        f"{len(names)} {what} (first: {names[0]})"
        for what, names in (("missing from it", missing), ("unknown here", surplus), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise UserError(f"{where}: its weights do not fit this network: {'; '.join(problems)}")
    network.load_state_dict({name: value for name, value in state.items() if name in own}, strict=False)
