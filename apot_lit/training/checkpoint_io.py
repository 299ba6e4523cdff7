"""How Lightning's checkpoints are written: whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from apot_lit.errors import UserError
from apot_lit.runs.checkpoint import sealed
from apot_lit.runs.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the one before and puts it in its place once it lies on the disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint with its checksum; a kill or a full disk leaves the one before.

        Raises:
            UserError: if a callback keeps something in it that is neither plain nor a dense tensor.
        """
        path = Path(path)
        try:
            whole = sealed(checkpoint)
        except TypeError as error:
            raise UserError(f"callbacks: {error}") from error
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            torch.save(whole, file)
