"""TorchScript is refused: it would keep numbers that are read from tensors, such as thresholds, as constants."""

from typing import NoReturn

import torch

_REFUSAL = (
    "quantised networks can't go through TorchScript (torch.jit.script, torch.jit.trace, torch.onnx.export with "
    "dynamo=False); use torch.export.export, torch.compile, or torch.onnx.export with dynamo=True"
)


class NotScriptable:
    """A module that `torch.jit.script` refuses with what to use instead."""

    def __prepare_scriptable__(self) -> NoReturn:
        """Called by `torch.jit.script` before it compiles anything."""
        raise NotImplementedError(_REFUSAL)


def refuse_tracing() -> None:
    """Refuses to be recorded by `torch.jit.trace`.

    Raises:
        NotImplementedError: while it records; one line that says what to use instead.
    """
    if torch.jit.is_tracing():
        raise NotImplementedError(_REFUSAL)
