"""Reading a module from a checkpoint: no code in it is run, and what is wrong with it is said in one line."""

from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl

from apot_lit.errors import UserError
from apot_lit.runs.checkpoint import read_file
from apot_lit.runs.schema import one_line
from apot_lit.stored.container import is_packed


class LoadableModule(pl.LightningModule):
    """A LightningModule that is read from checkpoints as everything else of this project is."""

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **kwargs: Any,
    ) -> Self:
        """Reads what a Trainer saved; unlike Lightning's own, it runs no code in the file.

        Args:
            checkpoint_path: the file; all arguments are those of Lightning's method.
            map_location: where tensors go.
            hparams_file: of checkpoints without arguments of their own.
            strict: whether all weights must be there.
            weights_only: whether nothing but tensors and plain containers is read.
            kwargs: arguments of this class: `network`, where the checkpoint has no configuration.

        Raises:
            UserError: if the file can't be read, needs a network, or does not fit the one that is given.
        """
        where = _require_loadable(checkpoint_path, "network" in kwargs)
        try:
            return super().load_from_checkpoint(
                checkpoint_path, map_location, hparams_file, strict, weights_only, **kwargs
            )
        except RuntimeError as error:  # torch lists every weight in a line of its own
            raise UserError(one_line(f"{where}: {error}", 300)) from error


def _require_loadable(path: str | Path, has_network: bool) -> str:
    """Checks a file before Lightning reads it.

    Args:
        path: of the checkpoint.
        has_network: whether a network to fill is given.

    Returns:
        What messages about it begin with.

    Raises:
        UserError: if it is missing, damaged or no checkpoint, or if the network to fill is needed.
    """
    where = f"checkpoint_path={path}"
    if is_packed(path):
        raise UserError(f"{where}: is a packed file; read it with apot_lit.read_any_trained or apot_lit.load_packed")
    given = read_file(path, "checkpoint_path").get("hyper_parameters", {})
    if "config" not in given and not has_network:
        needed = "network=..." if "num_classes" in given else "network=..., num_classes=... and optimizer=..."
        raise UserError(f"{where}: does not say what its network is; give {needed}, as for the training")
    return where
