"""A trained network from a file: a checkpoint of this project or of the reference implementation, or a packed file."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from apot_lit.data.embedded import load_digits, load_idx_pair
from apot_lit.data.options import DataOptions
from apot_lit.errors import UserError
from apot_lit.integer.network import IntegerNetwork
from apot_lit.interop.reference import is_reference, reference_config, reference_state
from apot_lit.models.build import build_network
from apot_lit.models.foreign import is_foreign
from apot_lit.runs.checkpoint import (
    checkpoint_config,
    load_checkpoint,
    load_network,
    network_state,
    read_file,
    require_config,
    require_fit,
)
from apot_lit.runs.contents import NETWORK_CONFIG
from apot_lit.runs.protocol import row
from apot_lit.runs.schema import misfit, one_line
from apot_lit.stored.bit_width import better_fit
from apot_lit.stored.container import is_packed
from apot_lit.stored.packed import read_packed

_IMAGES = 64


class Trained(NamedTuple):
    """What a file holds.

    Attributes:
        config: the configuration the network was trained with, plain containers.
        network: the network with its weights and its input, on the CPU.
        integers: the network of integers that a packed file holds as well, else None.
    """

    config: dict[str, Any]
    network: nn.Module
    integers: IntegerNetwork | None


def read_trained(path: str | Path, key: str = "ckpt_path") -> Trained:
    """Reads a checkpoint that `train.py` wrote, or a packed file.

    Args:
        path: the file.
        key: the configuration key that named it, for the message.

    Raises:
        UserError: if it can't be read, or holds no network of this project.
    """
    where = f"{key}={path}"
    if is_packed(path):
        return _from_packed(path, where)
    checkpoint = load_checkpoint(path, key)
    return _trained(checkpoint_config(checkpoint), network_state(checkpoint), where)


def read_any_trained(
    path: str | Path,
    model: Mapping[str, Any] | None = None,
    quant: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
) -> Trained:
    """Reads a checkpoint of this project or of the reference implementation, or a packed file.

    A checkpoint of the reference does not say with which levels it was trained; where others fit it better than those
    given, a line on stderr says so.

    Args:
        path: the file, named by the configuration key ``ckpt_path``.
        model: the section ``model``, for files of the reference, None if not given.
        quant: ``bit`` (None if not given) and ``power``, likewise.
        data_dir: directory of the digits by which levels are compared; None for those of the installation.

    Raises:
        UserError: if it can't be read, or is given a network that it carries itself.
    """
    where = f"ckpt_path={path}"
    quant = {"bit": None, "power": 1} if quant is None else quant
    if not is_packed(path):
        checkpoint = read_file(path, "ckpt_path")
        if is_reference(checkpoint):
            config = reference_config(checkpoint, model, quant["bit"], quant["power"], where)
            trained = _trained(config, reference_state(checkpoint), where)
            _warn_of_other_levels(trained, reference_state(checkpoint), where, data_dir)
            return trained
    trained = read_trained(path)
    if model is not None or quant["bit"] is not None:
        own = row(trained.config)
        given = f"model={own.model} quant.bit={own.bit}"
        raise UserError(f"{where}: carries its own configuration ({given}); leave model and quant out")
    return trained


def read_weights(path: str | Path, key: str) -> dict[str, Tensor]:
    """Reads the weights alone, for a network that is there already.

    Args:
        path: a file of any kind that `read_any_trained` reads.
        key: the configuration key that named it, for the message.

    Returns:
        The network's state by name.

    Raises:
        UserError: if it can't be read.
    """
    if is_packed(path):
        return _from_packed(path, f"{key}={path}").network.state_dict()
    checkpoint = read_file(path, key)
    if is_reference(checkpoint):
        return reference_state(checkpoint)
    require_config(checkpoint, f"{key}={path}")
    return network_state(checkpoint)


def _from_packed(path: str | Path, where: str) -> Trained:
    packed = read_packed(path, where=where)
    wrong = misfit(packed.config, NETWORK_CONFIG)
    if wrong is not None:
        raise UserError(f"{where}: its configuration is not as this project writes it ({wrong})")
    data_options(packed.config, where)
    _require_numbers(packed.network.state_dict(), where)
    return Trained(*packed)


def _trained(config: dict[str, Any], state: Mapping[str, Tensor], where: str) -> Trained:
    data_options(config, where)
    try:
        # A size out of all bounds takes no memory on the meta device, which not all makers know.
        with torch.device("cpu" if is_foreign(config) else "meta"):
            own = build_network(config).state_dict()
    except (UserError, ValueError, TypeError, KeyError, ArithmeticError, RuntimeError) as error:
        raise _configuration_error(error, where) from error
    require_fit(own, state, where)
    _require_numbers(state, where)
    network = build_network(config)
    load_network(network, state, where)
    return Trained(config, network, None)


def data_options(config: Mapping[str, Any], where: str) -> DataOptions:
    """The options of the data in a configuration that was read from a file, which may lack a directory.

    Args:
        config: of a network.
        where: what named the file, for the message.

    Raises:
        UserError: for options that the data can't have.
    """
    try:
        return DataOptions(**{"data_dir": "", **config["data"]})
    except (ValueError, TypeError, KeyError) as error:
        raise _configuration_error(error, where) from error


def _configuration_error(error: Exception, where: str) -> UserError:
    lacks = "its configuration lacks " if isinstance(error, KeyError) else ""
    return UserError(f"{where}: {lacks}{one_line(error)}")


def _require_numbers(state: Mapping[str, Tensor], where: str) -> None:
    for name, value in state.items():
        if not value.isfinite().all() or (name.endswith("running_var") and (value < 0).any()):
            raise UserError(f"{where}: {name} holds what is no number, infinite or, being a variance, negative")


def _warn_of_other_levels(
    trained: Trained, state: Mapping[str, Tensor], where: str, data_dir: str | Path | None
) -> None:
    images, _ = load_digits("test") if data_dir is None else load_idx_pair(data_dir, "test")
    better = better_fit(trained.config, state, images[:_IMAGES])
    if better is not None:
        quant = trained.config["quant"]
        print(
            f"warning: {where}: its batch norms fit quant.bit={better.bit} quant.power={better.power} better than "
            f"quant.bit={quant['bit']} quant.power={quant['power']} (they are off by {better.deviation:.2f} and "
            f"{better.given:.2f} standard deviations); the accuracy will be lower if it was trained so",
            file=sys.stderr,
        )
