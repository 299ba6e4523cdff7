"""A network of integers as C source for microcontrollers: its data, the runtime, and a program for bare metal."""

from pathlib import Path

from apot_lit.export.c_source import SUMS, c_files, in_comment, sizes, with_sums, write_files
from apot_lit.export.micro_data import MicroWriter
from apot_lit.integer.network import IntegerNetwork
from apot_lit.integer.trimming import trim_taps

MICRO_SOURCE = "apot_micro.c"
MICRO_RUNTIME_FILES = (
    *("apot_micro.h", "apot_micro_sums.h", MICRO_SOURCE),
    *("apot_micro_inspect.h", "apot_micro_inspect.c"),
)
# By name in an export, the files of the program for bare metal.
_PROGRAM = {
    "main.c": "bare_main.c",
    "cortex_m.h": "cortex_m.h",
    "cortex_m.c": "cortex_m.c",
    "cortex_m.ld": "cortex_m.ld",
    "Makefile": "cortex_m.mk",
}
MICRO_FILES = ("network.h", "network.c", *MICRO_RUNTIME_FILES, *_PROGRAM, SUMS)

_HEADER = """/* {title} */
#ifndef APOT_MICRO_NETWORK_H
#define APOT_MICRO_NETWORK_H

#define APOT_CHANNELS {channels}
#define APOT_HEIGHT {height}
#define APOT_WIDTH {width}
#define APOT_PIXELS {pixels}
#define APOT_CLASSES {classes}
#define APOT_LOGIT_BITS {logit_bits}   /* of apot_logit: {proved} are proved to be enough */
#define APOT_STREAM_BITS {stream_bits}  /* of fixed point, {fraction} of them behind the point */
#define APOT_ARENA_BYTES {arena} /* working memory */
/* 1 in the logits stands for {logit_scale!r}. */

/* The bits of weights that each kernel is compiled for: within sums of 16 bits, beyond them, and of single values. */
#define APOT_NARROW_BITS(use) {narrow}
#define APOT_WIDE_BITS(use) {wide}
#define APOT_SINGLE_BITS(use) {single}

#include "apot_micro.h"

#endif
"""


def build_micro(network: IntegerNetwork, title: str) -> dict[str, str]:
    """Writes a network as C source for microcontrollers.

    Weights that are never read are left out, see `trim_taps`.

    Args:
        network: what to write; its batch norms are not folded.
        title: one line for the comment at the top.

    Returns:
        Content by file name, `MICRO_FILES`: ``network.h`` and ``network.c`` (the network as constants), the runtime, a
        program for Cortex-M, and ``SHA256SUMS``, the checksums of all others.

    Raises:
        UserError: for a network that the runtime can't compute.
    """
    writer, title = MicroWriter(trim_taps(network)), in_comment(title)
    used = {kind.lower(): " ".join(f"use({bit})" for bit in sorted(bits)) for kind, bits in writer.kernels.items()}
    header = _HEADER.format(title=title, **sizes(network, writer), **used)
    content = {"network.h": header, "network.c": f"/* {title} */\n" + writer.source()}
    return with_sums(content | c_files({name: name for name in MICRO_RUNTIME_FILES} | _PROGRAM))


def write_micro(network: IntegerNetwork, title: str, directory: Path) -> None:
    """Writes the files of `build_micro` to a new directory."""
    write_files(build_micro(network, title), directory)
