"""One safetensors file that holds a quantised network's weights as integers of exactly their bit width.

Tensors have the names of the network's state, but for a quantised layer's ``weight``, which becomes
``weight_codes``: a little-endian bit stream over the weights in C order, `bit` bits each, the last byte filled up with
zeros. A code of a layer with a learned threshold has the index of its magnitude among the level set's in its low bits
and the sign in its highest; a code of the first and last layers is a two's complement number (at 8 bits an int8 tensor
of the weight's shape), and ``weight_largest`` is what their scale is made of. The metadata has ``format``,
``version``, ``config`` (JSON), ``layers`` (JSON: shape and quantisers of every layer) and ``checksum``, which older
files lack: `apot_lit.runs.checksum` of ``[metadata, tensors]``, both sorted by name, the metadata without it.
"""

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.models.build import build_network
from apot_lit.models.input import PixelInput
from apot_lit.quant import MaxWeightQuantizer, WeightQuantizer, quant_layers
from apot_lit.quant.layers import QuantLayer
from apot_lit.quant.quantizers import Codes, FloatPassthrough, InputCodes
from apot_lit.runs.checksum import checksum
from apot_lit.runs.files import replacing

FORMAT, VERSION = "apot_lit.packed", "1"
_CODES, _LARGEST = ".weight_codes", ".weight_largest"
_CHECKSUM = "checksum"


class StoredCodes(nn.Module):
    """Stands where a weight quantiser was: has fixed float32 `codes` with one `scale`, whatever weight it is given."""

    codes: Tensor

    def __init__(self, codes: Tensor, scale: float, bit: int, scheme: str) -> None:
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)
        self.scale, self.bit, self.scheme = scale, bit, scheme

    def forward(self, weight: Tensor) -> Codes:
        """Returns the stored codes and their scale."""
        return Codes(self.codes, self.scale)

    def extra_repr(self) -> str:
        """Bit width and scheme for ``repr(model)``."""
        return f"bit={self.bit}, scheme={self.scheme}"


def pack_bits(values: npt.NDArray[Any], bit: int) -> npt.NDArray[np.uint8]:
    """Packs unsigned integers into a little-endian bit stream, `bit` (1 to 8) each; a ValueError if one does not fit.

    Examples:
        >>> [f"{byte:08b}" for byte in pack_bits(np.array([1, 2, 7], np.uint8), 3)]
        ['11010001', '00000001']
    """
    if values.size and not 0 <= values.min() <= values.max() < 2**bit:
        raise ValueError(f"values from {values.min()} to {values.max()} do not fit {bit} bits")
    bits = np.unpackbits(values.astype(np.uint8).reshape(-1, 1), axis=1, count=bit, bitorder="little")
    return np.packbits(bits, bitorder="little")


def unpack_bits(packed: npt.NDArray[np.uint8], bit: int, count: int) -> npt.NDArray[np.uint8]:
    """Returns the `count` integers that `pack_bits` packed; raises a ValueError for any other number of bytes."""
    if packed.size != (size := (count * bit + 7) // 8):
        raise ValueError(f"{count} values of {bit} bits take {size} bytes, not {packed.size}")
    bits = np.unpackbits(packed, count=count * bit, bitorder="little").reshape(count, bit)
    return np.packbits(bits, axis=1, bitorder="little")[:, 0]


@torch.no_grad()
def save_packed(network: nn.Module, config: Mapping[str, Any], path: str | Path) -> None:
    """Writes a quantised network: weights as integers of their bit width, everything else as in its state.

    Args:
        network: what `quantize_model` returned, trained or not; it is not changed.
        config: plain containers; with the sections ``model``, ``quant`` and ``data`` of the project's configuration
            the file can be read without a network to fill.
        path: the file to write.

    Raises:
        UserError: if no layer has quantised weights.
        ValueError: if codes do not fit their bit width, or a weight quantiser is of another kind; one line.
    """
    from safetensors.torch import save  # late: whoever does not pack needs no safetensors

    network = copy.deepcopy(network).cpu()
    if not (layers := _packed_layers(network)):
        raise UserError("nothing to pack: the network has no quantised weights")
    tensors = _blank_tensors(network, layers)
    for name, (layer, quantizer) in layers.items():
        packed = pack_bits(_indices(name, quantizer(layer.weight).values, quantizer), quantizer.bit)
        tensors[name + _CODES].view(torch.uint8).view(-1).copy_(torch.from_numpy(packed))
        if isinstance(quantizer, MaxWeightQuantizer):
            tensors[name + _LARGEST] = (layer.weight.abs() if quantizer.magnitude else layer.weight).amax().float()
    texts = {"config": json.dumps(config), "layers": json.dumps(_kinds(network))}
    metadata = {"format": FORMAT, "version": VERSION, **texts}
    with replacing(Path(path)) as file:
        file.write(save(tensors, {**metadata, _CHECKSUM: _checksum(metadata, tensors)}))


@torch.no_grad()
def load_packed(path: str | Path, network: nn.Module | None = None) -> nn.Module:
    """Reads a file that `save_packed` wrote.

    Args:
        path: the file.
        network: a network of the same shape, quantised the same way, of which a copy is filled; None for the `ResNet`
            that the file's configuration describes.

    Returns:
        The network on the CPU in evaluation mode: its logits are, bit for bit, those of the one that was saved.

    Raises:
        UserError: if the file is missing, of another format, damaged, or does not fit its checksum or the network.
    """
    metadata, tensors = _read(path)
    try:
        kinds = dict(json.loads(metadata["layers"]))
        network = _build(json.loads(metadata["config"])) if network is None else copy.deepcopy(network).cpu()
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path}: its configuration describes no network ({type(error).__name__}: {error})") from error
    layers = _packed_layers(network)
    ours, theirs = _kinds(network) | _shapes(_blank_tensors(network, layers)), kinds | _shapes(tensors)
    for name in [*ours, *sorted(theirs)]:
        here, there = ours.get(name, "missing"), theirs.get(name, "missing")
        if here != there:
            raise UserError(f"{path}: does not fit the network: {name} is {there} in the file and {here} here")
    network.load_state_dict(tensors, strict=False)
    for name, (layer, quantizer) in layers.items():
        stream = tensors[name + _CODES].view(-1).view(torch.uint8).numpy()
        values = _codebook(quantizer)[unpack_bits(stream, quantizer.bit, layer.weight.numel())]
        codes = torch.from_numpy(values).view(layer.weight.shape)
        # The quantiser makes the scale of its threshold, or of the largest weight that it is given.
        scale = float(quantizer(tensors.get(name + _LARGEST, torch.zeros(1))).scale)
        scheme = quantizer.levels.scheme if isinstance(quantizer, WeightQuantizer) else "uniform"
        layer.weight = nn.Parameter(codes * scale, requires_grad=False)
        layer.weight_quantizer = StoredCodes(codes, scale, quantizer.bit, scheme)
    return network.eval()


def _packed_layers(network: nn.Module) -> dict[str, tuple[QuantLayer, Any]]:
    """The layers with quantised weights, and their quantisers, by name."""
    layers: dict[str, tuple[QuantLayer, Any]] = {name: (m, m.weight_quantizer) for name, m in quant_layers(network)}
    for name, (_, quantizer) in layers.items():
        if not isinstance(quantizer, WeightQuantizer | MaxWeightQuantizer | FloatPassthrough):
            raise ValueError(f"{name}: its {type(quantizer).__name__} has no levels to pack weights by")
    return {name: pair for name, pair in layers.items() if not isinstance(pair[1], FloatPassthrough)}


def _blank_tensors(network: nn.Module, layers: Mapping[str, tuple[QuantLayer, Any]]) -> dict[str, Tensor]:
    """The tensors of the network's file, with zeros for codes."""
    packed = {id(layer) for layer, _ in layers.values()}
    tensors = {n: value.clone(memory_format=torch.contiguous_format) for n, value in network.state_dict().items()}
    for name, module in network.named_modules(remove_duplicate=False):  # a shared layer has several names
        if id(module) in packed:
            del tensors[f"{name}.weight".lstrip(".")]
    for name, (layer, quantizer) in layers.items():
        tensors[name + _CODES] = torch.zeros((layer.weight.numel() * quantizer.bit + 7) // 8, dtype=torch.uint8)
        if isinstance(quantizer, MaxWeightQuantizer):
            tensors[name + _LARGEST] = torch.zeros(())
            if quantizer.bit == 8:
                tensors[name + _CODES] = torch.zeros(layer.weight.shape, dtype=torch.int8)
    return tensors


def _codebook(quantizer: Any) -> npt.NDArray[np.float32]:
    """The code that each of the ``2 ** bit`` indices stands for; both zeros of sign and magnitude are 0."""
    if isinstance(quantizer, WeightQuantizer):
        magnitudes = np.array([float(level * quantizer.unit) for level in quantizer.levels.levels], np.float32)
        return np.concatenate([magnitudes, 0 - magnitudes])
    return np.array([*range(quantizer.unit + 1), *range(-quantizer.unit - 1, 0)], np.float32)


def _indices(name: str, codes: Tensor, quantizer: Any) -> npt.NDArray[Any]:
    codebook, values = _codebook(quantizer), codes.reshape(-1).numpy()
    order = np.argsort(codebook, kind="stable")  # of two zeros the positive one is found
    indices: npt.NDArray[Any] = order[np.searchsorted(codebook, values, sorter=order).clip(max=codebook.size - 1)]
    if not np.array_equal(codebook[indices], values):
        there, allowed = (f"{array.min():g} to {array.max():g}" for array in (values, codebook))
        raise ValueError(f"{name}: its codes, {there}, do not fit {quantizer.bit} bits, {allowed}")
    return indices


def _kinds(network: nn.Module) -> dict[str, Any]:
    """What a reader must know, and a network to fill must agree in, of every quantised layer."""
    kinds = {}
    # Version 1 of the format writes whole pixels down as a grid of a step, and other inputs of a first layer as floats.
    steps = [module.step for module in network.modules() if isinstance(module, PixelInput) and module.multiplier == 1]
    for name, layer in quant_layers(network):
        weight, act = (re.sub(", alpha=[^,)]*", "", repr(q)) for q in (layer.weight_quantizer, layer.act_quantizer))
        step = steps[0] if steps and isinstance(layer.act_quantizer, InputCodes) else None
        if isinstance(layer.act_quantizer, InputCodes):
            act = repr(FloatPassthrough()) if step is None else f"InputGrid(step={step:.6g})"
        kinds[name] = {"shape": [*layer.weight.shape], "weight": weight, "act": act, "step": step}
    return kinds


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: f"{tensor.dtype} {[*tensor.shape]}" for name, tensor in tensors.items()}


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not Path(path).exists():
        raise UserError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: is damaged or not a safetensors file ({str(error).partition(chr(10))[0]})") from error
    if (found := (metadata.get("format"), metadata.get("version"))) != (FORMAT, VERSION):
        raise UserError(f"{path}: is of format {found[0]}, version {found[1]}, not {FORMAT}, version {VERSION}")
    if metadata.pop(_CHECKSUM, None) not in (None, _checksum(metadata, tensors)):
        raise UserError(f"{path}: does not fit its checksum; it was changed or damaged after it was written")
    return metadata, tensors


def _checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    return checksum([dict(sorted(metadata.items())), dict(sorted(tensors.items()))])


def _build(config: Mapping[str, Any]) -> nn.Module:
    """The network of a configuration, without weights that mean anything; random numbers are left as they are."""
    with torch.random.fork_rng(devices=[]):
        return build_network(config)
