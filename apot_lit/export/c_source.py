"""A network of integers as C source: its data, and the runtime that computes it."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from apot_lit.errors import UserError
from apot_lit.export.c_data import DataWriter
from apot_lit.integer.network import IntegerNetwork

RUNTIME_FILES = (
    *("apot_runtime.h", "apot_runtime.c", "apot_internal.h", "apot_bodies.h", "apot_common.h"),
    *("apot_lanes.h", "apot_pairs.h", "apot_finish.h", "apot_avx2_steps.h", "apot_vnni_steps.h"),
    *("apot_convolution.c", "apot_portable.c", "apot_shift_add.c", "apot_avx2.c", "apot_vnni.c", "apot_neon.c"),
    *("apot_inspect.h", "apot_inspect.c", "main.c", "Makefile"),
)
SUMS = "SHA256SUMS"
C_FILES = ("network.h", "network.c", *RUNTIME_FILES, SUMS)

_HEADER = """/* {title} */
#ifndef APOT_NETWORK_H
#define APOT_NETWORK_H

#define APOT_CHANNELS {channels}
#define APOT_HEIGHT {height}
#define APOT_WIDTH {width}
#define APOT_PIXELS {pixels}
#define APOT_CLASSES {classes}
#define APOT_LOGIT_BITS {logit_bits}   /* of apot_logit: {proved} are proved to be enough */
#define APOT_STREAM_BITS {stream_bits}  /* of fixed point, {fraction} of them behind the point */
#define APOT_ARENA_BYTES {arena} /* working memory of one image */
#define APOT_IMAGES {images}       /* a good number of images to be computed side by side */
#define APOT_LOGIT_SCALE "{logit_scale!r}" /* what 1 in the logits stands for */
/* Constants take about {constants} bytes. */

#include "apot_runtime.h"

#endif
"""
_CACHE_BYTES, _MOST_IMAGES = 1 << 18, 16


def build_c(network: IntegerNetwork, title: str) -> dict[str, str]:
    """Writes a network as C source.

    Args:
        network: what to write.
        title: one line for the comment at the top.

    Returns:
        Content by file name, `C_FILES`: ``network.h`` and ``network.c`` (the network as constants), the runtime,
        ``main.c`` (a program that classifies files), ``Makefile``, and ``SHA256SUMS``, the checksums of all others.
        They are C11 and need nothing but the standard library.

    Raises:
        UserError: for a network that the runtime can't compute.
    """
    writer, title = DataWriter(network), in_comment(title)
    header = _HEADER.format(
        title=title,
        images=max(1, min(_MOST_IMAGES, _CACHE_BYTES // writer.arena)),
        constants=writer.constants.bytes,
        **sizes(network, writer),
    )
    content = {"network.h": header, "network.c": f"/* {title} */\n" + writer.source()}
    return with_sums(content | c_files({name: name for name in RUNTIME_FILES}))


class Writer(Protocol):
    """What has written the constants of a network."""

    classes: int
    logit_bits: int
    proved_bits: int
    arena: int


def in_comment(title: str) -> str:
    """A title as one line that can't end the comment it stands in."""
    return " ".join(title.replace("*/", "* /").split())


def sizes(network: IntegerNetwork, writer: Writer) -> dict[str, Any]:
    """What the header of every kind of C source says of a network, by the names of its placeholders."""
    channels, height, width = network.input_shape
    return {
        "channels": channels,
        "height": height,
        "width": width,
        "pixels": channels * height * width,
        "classes": writer.classes,
        "logit_bits": writer.logit_bits,
        "proved": writer.proved_bits,
        "stream_bits": network.stream_bit,
        "fraction": network.fraction,
        "arena": writer.arena,
        "logit_scale": network.logit_scale,
    }


def c_files(names: Mapping[str, str]) -> dict[str, str]:
    """Content of files that come with the package, by their names in an export."""
    return {name: (files("apot_lit.export") / "c" / file).read_text() for name, file in names.items()}


def with_sums(content: Mapping[str, str]) -> dict[str, str]:
    """The files of an export with their checksums as the last one."""
    return {**content, SUMS: checksums({name: text.encode() for name, text in content.items()})}


def checksums(content: Mapping[str, bytes]) -> str:
    """Checksums of files, as ``sha256sum`` writes them."""
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items())


def check_sums(directory: Path, names: Sequence[str] = C_FILES, kind: str = "c") -> None:
    """Compares the files of an export with their checksums.

    Args:
        directory: of the export.
        names: of its files, the last of which holds the checksums.
        kind: format of the export, for messages.

    Raises:
        UserError: naming a file that is missing, or that is not what was written.
    """
    try:
        content = {name: (directory / name).read_bytes() for name in names}
    except OSError as error:
        raise UserError(f"{directory}: is no export of format={kind}: {error.strerror}: {error.filename}") from error
    found = content.pop(SUMS).split(b"\n")
    lines = checksums(content).encode().split(b"\n")
    if found != lines:
        changed = next((name for name, line in zip(content, lines, strict=False) if line not in found), SUMS)
        raise UserError(f"{directory}: {changed} does not fit {SUMS}: the export was changed or damaged")


def write_c(network: IntegerNetwork, title: str, directory: Path) -> None:
    """Writes the files of `build_c` to a new directory."""
    write_files(build_c(network, title), directory)


def write_files(content: Mapping[str, str], directory: Path) -> None:
    """Writes files to a new directory."""
    directory.mkdir()
    for name, text in content.items():
        (directory / name).write_text(text)
