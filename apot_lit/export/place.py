"""Where exports are put: a new one takes the place of an earlier one, and of nothing else, once it is whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apot_lit.errors import UserError
from apot_lit.export.c_source import C_FILES
from apot_lit.export.micro_source import MICRO_FILES
from apot_lit.runs.files import partial_of

# What the file that tells an export apart begins with, and within how many bytes.
_MARKERS = {
    "onnx": (b"\x12\x08apot_lit", 16),  # the producer
    "packed": (b'"format":"apot_lit.packed"', 1 << 20),
    "web": (b'<meta name="generator" content="apot_lit.web">', 1 << 12),
    "c": (b"#ifndef APOT_NETWORK_H", 1 << 12),
    "microcontroller": (b"#ifndef APOT_MICRO_NETWORK_H", 1 << 12),
}
# The files of those that are directories.
_FILES = {"c": C_FILES, "microcontroller": MICRO_FILES}


def refuse_occupied(kind: str, output: Path, overwrite: bool) -> None:
    """Refuses a place where a new export would replace anything but an earlier one that may be overwritten.

    What a killed export moved away is put back first.

    Args:
        kind: format of the new export: onnx, packed, web, c or microcontroller.
        output: file or, for c and microcontroller, directory; it may be missing.
        overwrite: whether an earlier export may be replaced.

    Raises:
        UserError: if the place is taken.
    """
    place = output.resolve()
    above = next(one for one in (place, *place.parents) if one.exists())
    if place == place.parent or (above != place and not above.is_dir()):
        raise UserError(f"output={output}: can't be written; {above} is {'no' if above != place else 'a'} directory")
    replaced = _replaced(output)
    if replaced.exists() and not place.exists():
        replaced.rename(place)
    if not place.exists():
        return
    if not overwrite:
        raise UserError(f"output={output}: exists already; give another one, or overwrite=true")
    if place.is_dir() != (kind in _FILES):
        there, name = ("a directory", "a file") if place.is_dir() else ("a file", "a directory")
        raise UserError(f"output={output}: is {there}; name {name}")
    if place.is_dir():
        _refuse_foreign(output, whole=True)
    marker, within = _MARKERS[kind]
    marked = place / "network.h" if place.is_dir() else place
    if not marked.is_file() or marker not in _head(marked, within):
        raise UserError(f"output={output}: no export of format={kind} wrote what is there; give another one")


@contextmanager
def placing(output: Path) -> Iterator[Path]:
    """Yields a name beside `output` to write and verify an export at, which then takes its place.

    After an error `output` is as it was, and nothing is left of the new export. After a kill the old export or the
    new one is there, whole; a directory's old one possibly under another name, from which `refuse_occupied` puts it
    back. The next export to the same place cleans up what else is left.

    Args:
        output: what `refuse_occupied` let pass: an earlier export, or nothing yet.

    Raises:
        UserError: if anything else has come into the directory to be replaced, or lies where the new one is written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    place, scratch, replaced = output.resolve(), partial_of(output.resolve()), _replaced(output)
    for leftover in (scratch, replaced):
        _remove(leftover)
    try:
        yield scratch
        for path in [*(scratch.iterdir() if scratch.is_dir() else ()), scratch]:
            _sync(path)
        if place.is_dir():  # a name can't be taken from a directory that holds something in one step
            _refuse_foreign(output, whole=True)
            place.rename(replaced)
        scratch.replace(place)
    except BaseException:
        if replaced.exists() and not place.exists():
            replaced.rename(place)
        _remove(scratch)
        raise
    _sync(place.parent)
    _remove(replaced)


def _replaced(output: Path) -> Path:
    """Where a directory lies between its replacement and its deletion."""
    place = output.resolve()
    return place.with_name(f".{place.name}.replaced")


def _refuse_foreign(directory: Path, whole: bool) -> None:
    """Refuses a directory of anything but files of an export, all of them if `whole`."""
    found = {path.name for path in directory.iterdir() if path.is_file() and not path.is_symlink()}
    known = max(_FILES.values(), key=lambda names: len(found & set(names)))
    foreign = sorted({path.name for path in directory.iterdir()} - (found & set(known)))
    if foreign:
        raise UserError(f"output={directory}: holds {foreign[0]}, which no export wrote; give another one")
    if whole and (missing := sorted(set(known) - found)):
        raise UserError(f"output={directory}: no export wrote what is there, it has no {missing[0]}; give another one")


def _remove(path: Path) -> None:
    """Deletes an export or a part of one, and never anything else."""
    if path.is_dir():
        _refuse_foreign(path, whole=False)
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _head(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
