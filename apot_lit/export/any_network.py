"""A network of any torch code, exported from Python: no configuration, no checkpoint."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.export.place import placing, refuse_occupied
from apot_lit.export.verify import Verification, verify
from apot_lit.export.write import FORMATS, engine_of, stored_in, write_format
from apot_lit.integer.conversion import STREAM_BIT, to_integers
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import IntegerNetwork
from apot_lit.stored.needs import require_packages

_WEB = "web"


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        path: the file or directory.
        integers: the network of integers that it holds.
        verification: what was found equal.
        differing_predictions: example images of which the network in floats predicts another class.
    """

    path: Path
    integers: IntegerNetwork
    verification: Verification
    differing_predictions: int


@torch.no_grad()
def export_network(
    network: nn.Module,
    example: Tensor,
    path: str | Path,
    format: str = "onnx",
    *,
    stream_bit: int = STREAM_BIT,
    overwrite: bool = False,
) -> Exported:
    """Writes a trained quantised network as one of integers, and verifies every bit of what it wrote.

    Args:
        network: what `apot_lit.quant.quantize_model` returned, trained, beginning with a `PixelInput`; not changed.
        example: uint8 pixels ``[N, C, H, W]``, some of those it was trained with: they choose the stream, and the
            export is compared on them.
        path: file to write; for C source a directory.
        format: ``"onnx"``, ``"packed"``, ``"c"`` or another of `export.py`, but for ``"web"``.
        stream_bit: bits of what is not codes, 8 to 16.
        overwrite: whether an earlier export of the same format may be replaced.

    Raises:
        UserError: one line on what can't be exported, or is not the same function.
    """
    allowed = [name for name in FORMATS if name != _WEB]
    if format not in allowed:
        raise UserError(f"format={format}: must be one of {', '.join(allowed)}")
    if example.dtype is not torch.uint8 or example.dim() != 4 or not len(example):
        found = f"{example.dtype} {list(example.shape)}"
        raise UserError(f"example: must be uint8 pixels [N, C, H, W], is {found}")
    if stream_bit not in range(8, 17):
        raise UserError(f"stream_bit={stream_bit}: must be from 8 to 16")
    output, example = Path(path), example.cpu()
    refuse_occupied(format, output, overwrite)
    require_packages(format, f"format={format}")
    network = copy.deepcopy(network).cpu().eval()
    integers = to_integers(network, example, stream_bit, fold=False)
    predictions = Executor(integers)(example).argmax(1)
    facts = {"network": type(network).__name__}
    with placing(output) as scratch:
        write_format(format, scratch, network, integers, facts, {}, (example, predictions))
        verification = verify(integers, engine_of(format, scratch), example, stored_in(format, integers))
    return Exported(output, integers, verification, int((network(example).argmax(1) != predictions).sum()))
