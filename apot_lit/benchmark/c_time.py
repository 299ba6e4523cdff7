"""Exported C source, with each of its kernels, as functions to be timed."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.export.c_library import FLAGS, CLibrary
from apot_lit.export.c_source import write_c
from apot_lit.integer import IntegerNetwork

FASTEST = "C"
# What is compiled without kernels for further instructions; the first has all of them, and chooses.
_OPTIONS = {
    FASTEST: (),
    "C, AVX2": ("-DAPOT_AVX2",),
    "C, portable": ("-DAPOT_PORTABLE",),
    "C, portable, -march=native": ("-DAPOT_PORTABLE", "-march=native"),
    "C, shifts and additions": ("-DAPOT_SHIFT_ADD",),
}

Calls = Callable[[npt.NDArray[np.uint8]], Mapping[str, Callable[[], object]]]


def c_calls(network: IntegerNetwork, directory: Path) -> tuple[Calls, dict[str, str]]:
    """Compiles a network with each of the kernels.

    Args:
        network: what is timed.
        directory: a new one, for the source.

    Returns:
        A function that gives, for some images, what is to be timed by name of the engine, on one thread; and by the
        same names, which instructions each computes with on this machine.
    """
    write_c(network, "benchmark", directory)
    libraries = {name: CLibrary(directory, (*FLAGS, *options)) for name, options in _OPTIONS.items()}

    def calls(pixels: npt.NDArray[np.uint8]) -> Mapping[str, Callable[[], Any]]:
        count = {name: min(len(pixels), library.images) for name, library in libraries.items()}
        return {name: partial(library.session(count[name]).classify, pixels) for name, library in libraries.items()}

    return calls, {name: library.kernels for name, library in libraries.items()}
