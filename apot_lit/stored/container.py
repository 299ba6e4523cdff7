"""The file around a packed network: safetensors with a format, a version and a checksum over all that it says."""

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from apot_lit.errors import UserError
from apot_lit.installed import only_in_clone
from apot_lit.runs.checksum import checksum
from apot_lit.runs.files import replacing
from apot_lit.runs.schema import Schema, misfit, one_line
from apot_lit.stored.needs import require_packages

FORMAT = "apot_lit.packed"
VERSION, FLOAT_VERSION = "2", "1"
"""The version written; the older one that is read too, which has no network of integers."""
SUFFIX = ".safetensors"
_CHECKSUM = "checksum"


def is_packed(path: str | Path) -> bool:
    """Whether a file is to be read as a packed one: by its name, or since it begins as safetensors do."""
    path = Path(path)
    try:
        if path.suffix == SUFFIX or not path.is_file():
            return path.suffix == SUFFIX
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except (OSError, ValueError):  # whoever reads it says what is wrong
        return False


def write_container(path: Path, metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: the file; its directory exists.
        metadata: texts, without format, version and checksum.
        tensors: contiguous, on the CPU.
    """
    from safetensors.torch import save  # late: whoever does not pack needs no safetensors

    metadata = {"format": FORMAT, "version": VERSION, **metadata}
    with replacing(path) as file:
        file.write(save(dict(tensors), {**metadata, _CHECKSUM: _checksum(metadata, tensors)}))


def read_container(path: str | Path, where: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Reads a file of either version.

    Args:
        path: the file.
        where: what messages begin with.

    Returns:
        Metadata, the checksum left out, and tensors.

    Raises:
        UserError: if the file is missing, of another format, damaged, or does not fit its checksum.
    """
    require_packages("packed", where)
    from safetensors import SafetensorError, safe_open

    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: there is no such file, or it can't be reached{only_in_clone(Path(path))}") from error
    try:
        if not stat.S_ISREG(mode):
            raise OSError("a directory, or no file that can be read twice")
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = one_line(str(error).partition("\n")[0], 120)
        raise UserError(f"{where}: is damaged or not a safetensors file ({reason})") from error
    form, version = metadata.get("format"), metadata.get("version")
    if form != FORMAT or version not in (VERSION, FLOAT_VERSION):
        found = one_line(f"format {form}, version {version}", 60)
        raise UserError(f"{where}: is of {found}, not {FORMAT}, version {FLOAT_VERSION} or {VERSION}")
    stored = metadata.pop(_CHECKSUM, None)
    if stored != _checksum(metadata, tensors) and (
        stored is not None or version == VERSION
    ):  # few of version 1 have one
        raise UserError(f"{where}: does not fit its checksum; it was changed or damaged after it was written")
    return metadata, tensors


def json_part(metadata: Mapping[str, str], key: str, schema: Schema, where: str) -> dict[str, Any]:
    """A mapping that metadata hold as JSON.

    Args:
        metadata: of a file.
        key: its name there.
        schema: what it must be like.
        where: what messages begin with.

    Raises:
        UserError: if it is missing, no JSON, or not like that.
    """
    try:
        value = json.loads(metadata[key])
    except KeyError as error:
        raise UserError(f"{where}: lacks its {key}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: its {key} is no JSON ({one_line(error)})") from error
    wrong = misfit(value, schema, key) if isinstance(value, dict) else f"{key}: must be a mapping"
    if wrong is not None:
        raise UserError(f"{where}: {wrong}")
    return dict(value)


def _checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    return checksum([dict(sorted(metadata.items())), dict(sorted(tensors.items()))])
