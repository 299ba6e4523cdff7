"""One safetensors file that holds a trained network twice, in integers and in floats, with the weights' codes once.

Tensors:

- ``<layer>.weight_codes``: a little-endian bit stream over the layer's weights in C order, `bit` bits each, the last
  byte filled up with zeros. A code of a layer with a learned threshold has the index of its magnitude among the level
  set's in its low bits and the sign in its highest; one of the first and last layers is a two's complement number (at 8
  bits an int8 tensor of the weight's shape).
- ``integer/<step>.<array>``: the other arrays of the network of integers: thresholds, multipliers, biases, shifts,
  signs, each in the narrowest type that holds it (`apot_lit.integer.network` says what they mean).
- all else: the state of the network in floats by its names, and what makes float weights of codes again
  (`apot_lit.stored.float_part`).

Metadata: ``format``, ``version``, ``config`` (JSON), ``layers`` (JSON: shape and quantisers of every layer),
``network`` (JSON: the steps of the network of integers, all in them that is no array) and ``checksum``:
`apot_lit.runs.checksum` of ``[metadata, tensors]``, both sorted by name, the metadata without it. Files of version 1
have no network of integers and no ``weight_std``, and older ones no checksum.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import IntegerNetwork
from apot_lit.models.build import build_network, fresh_network
from apot_lit.quant.levels import level_set
from apot_lit.runs.plain import Plain
from apot_lit.runs.schema import Entries, Fields, Integer, Items, OrNull, Text, one_line
from apot_lit.stored.container import VERSION, json_part, read_container, write_container
from apot_lit.stored.description import Description, describe, restore
from apot_lit.stored.float_part import CODES, STD, blank_tensors, fill, float_tensors, layer_facts, read_codes
from apot_lit.stored.version_1 import version_1_facts
from apot_lit.stored.weight_codes import Array

_INTEGER = "integer/"
_OF_A_RUN = ("paths", "callbacks", "logger", "sweep", "trainer", "ckpt_path", "init_from", "distill_from")
_OF_A_MACHINE = ("data_dir", "download")
_LAYERS = Entries(
    Fields(
        {
            "shape": Items(Integer(1)),
            "weight": OrNull(
                Fields({"bit": Integer(2, 8), "levels": OrNull(Text("apot|pot|uniform", "apot, pot or uniform"))})
            ),
        }
    )
)


class Packed(NamedTuple):
    """What a packed file holds.

    Attributes:
        config: the configuration of the training, without what is of its machine.
        network: the network in floats, on the CPU in evaluation mode; the codes and scales of its weights are those
            of the network that was packed, and all else in it, so its logits are, bit for bit. It can be trained on.
        integers: the network of integers; None in files of version 1.
    """

    config: dict[str, Any]
    network: nn.Module
    integers: IntegerNetwork | None


def save_packed(network: nn.Module, integers: IntegerNetwork, config: Mapping[str, Any], path: str | Path) -> None:
    """Writes a network.

    Args:
        network: what `quantize_model` returned, trained; it is not changed.
        integers: what `to_integers` made of it.
        config: plain containers; with the sections ``model``, ``quant`` and ``data`` of the project's configuration
            the file can be read without a network to fill.
        path: the file to write.

    Raises:
        UserError: if codes do not fit their bit width, or the integers are not those of the network.
    """
    write_container(Path(path), *_content(network, integers, config))


def load_packed(path: str | Path) -> Executor:
    """Reads the network of integers: a function from uint8 pixels ``[N, C, H, W]`` to int64 logits ``[N, classes]``.

    Raises:
        UserError: as `read_packed`, and for a file of version 1.
    """
    metadata, tensors = read_container(path, str(path))
    integers = _integers(metadata, tensors, str(path))
    if integers is None:
        raise UserError(
            f"{path}: is of version 1, which has no network of integers; read_packed gives its network in floats, "
            "and to_integers makes integers of that and of images"
        )
    return Executor(integers)


def packed_config(path: str | Path) -> dict[str, Any]:
    """The configuration of the training that a packed file carries; empty for a network of other code.

    Raises:
        UserError: as `read_packed`.
    """
    metadata, _ = read_container(path, str(path))
    return dict(json_part(metadata, "config", Plain(), str(path)))


@torch.no_grad()
def read_packed(path: str | Path, network: nn.Module | None = None, where: str | None = None) -> Packed:
    """Reads all that a file holds.

    Args:
        path: the file.
        network: a network of the same shape, quantised the same way, of which a copy is filled; None for the `ResNet`
            that the file's configuration describes.
        where: what messages begin with; None for the path.

    Raises:
        UserError: if the file is missing, of another format, damaged, or does not fit its checksum or the network.
    """
    where = str(path) if where is None else where
    metadata, tensors = read_container(path, where)
    config = json_part(metadata, "config", Plain(), where)
    integers = _integers(metadata, tensors, where)
    floats = {name: tensor for name, tensor in tensors.items() if not name.startswith(_INTEGER)}
    try:
        with torch.device("meta"):  # before it is known to fit, it takes no memory
            skeleton = build_network(config) if network is None else network
    except (UserError, ValueError, TypeError, KeyError, ArithmeticError, RuntimeError) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"{where}: its configuration describes no network ({reason})") from error
    _require_fit(skeleton, metadata, floats, where)
    filled = fresh_network(config) if network is None else copy.deepcopy(network).cpu()
    try:
        fill(filled, floats)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return Packed(config, filled.eval(), integers)


def require_same(path: str | Path, network: nn.Module, integers: IntegerNetwork, config: Mapping[str, Any]) -> None:
    """Holds a file to what `save_packed` would write: every number and text, whether images would tell or not.

    Raises:
        UserError: naming the first difference; and as `read_packed`.
    """
    found_texts, found = read_container(path, str(path))
    texts, tensors = _content(network, integers, config)
    for name in sorted(tensors.keys() | found.keys()):
        here, there = (None if tensor is None else _bytes(tensor) for tensor in (tensors.get(name), found.get(name)))
        if here != there:
            raise UserError(f"verification failed: {name} is another in {path}")
    for name, text in texts.items():
        if json.loads(text) != json.loads(found_texts.get(name, "null")):
            raise UserError(f"verification failed: {name} is another in {path}")


@torch.no_grad()
def _content(
    network: nn.Module, integers: IntegerNetwork, config: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Tensor]]:
    network = copy.deepcopy(network).cpu()
    tensors, facts = float_tensors(network), layer_facts(network)
    plain, arrays, weights = describe(integers)
    stored = _weights(facts, tensors)
    for layer, codes in weights.items():
        # Linear layers that are not the last one are convolutions there.
        if layer not in stored or not np.array_equal(
            stored[layer].reshape(len(codes), -1), codes.reshape(len(codes), -1)
        ):
            raise UserError(f"layer {layer}: its weights are not those of the network in floats")
    tensors |= {_INTEGER + name: torch.from_numpy(array) for name, array in arrays.items()}
    parts = {"config": _portable(config), "layers": facts, "network": plain}
    return {name: json.dumps(part, separators=(",", ":")) for name, part in parts.items()}, tensors


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what is of one run on one machine."""
    kept = {key: value for key, value in config.items() if key not in _OF_A_RUN}
    if isinstance(kept.get("data"), Mapping):
        kept["data"] = {key: value for key, value in kept["data"].items() if key not in _OF_A_MACHINE}
    return kept


def _integers(metadata: Mapping[str, str], tensors: Mapping[str, Tensor], where: str) -> IntegerNetwork | None:
    if metadata["version"] != VERSION:
        return None
    facts, plain = json_part(metadata, "layers", _LAYERS, where), json_part(metadata, "network", Plain(), where)
    arrays = {n.removeprefix(_INTEGER): tensor.numpy() for n, tensor in tensors.items() if n.startswith(_INTEGER)}
    try:
        return restore(Description(plain, arrays, _weights(facts, tensors)))
    except (UserError, ValueError, KeyError) as error:
        raise UserError(f"{where}: its network of integers can't be read ({one_line(error)})") from error


def _weights(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Weight codes that fit into 8 bits, by layer; a KeyError or ValueError where a stream is missing or too short."""
    found = {}
    for name, layer in facts.items():
        if layer["weight"] is not None:
            bit, scheme = layer["weight"]["bit"], layer["weight"]["levels"]
            levels = None if scheme is None else level_set(scheme, bit - 1)
            codes = read_codes(tensors[name + CODES], bit, levels, layer["shape"])
            if np.abs(codes).max(initial=0) <= np.iinfo(np.int8).max:
                found[name] = codes.astype(np.int8)
    return found


def _require_fit(network: nn.Module, metadata: Mapping[str, str], tensors: Mapping[str, Tensor], where: str) -> None:
    """Compares what a file says of layers and tensors with a network, which may be on the meta device."""
    facts = layer_facts(network) if metadata["version"] == VERSION else version_1_facts(network)
    blank = blank_tensors(network)
    if metadata["version"] != VERSION:
        blank = {name: tensor for name, tensor in blank.items() if not name.endswith(STD)}
    ours = _entries(facts) | _shapes(blank)
    theirs = _entries(json_part(metadata, "layers", Entries(Fields()), where)) | _shapes(tensors)
    for name in [*ours, *sorted(theirs)]:
        here, there = ours.get(name, "missing"), theirs.get(name, "missing")
        if here != there:
            raise UserError(
                one_line(f"{where}: does not fit the network: {name} is {there} in the file and {here} here")
            )


def _entries(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{layer} {key}": value for layer, entries in facts.items() for key, value in entries.items()}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: f"{tensor.dtype} {[*tensor.shape]}" for name, tensor in tensors.items()}


def _bytes(tensor: Tensor) -> tuple[str, tuple[int, ...], bytes]:
    return str(tensor.dtype), tuple(tensor.shape), tensor.numpy().tobytes()
