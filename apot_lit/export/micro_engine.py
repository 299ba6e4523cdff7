"""Runs exports for microcontrollers on this machine, for verification: the same files, by the system's compiler."""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.c_source import check_sums
from apot_lit.export.engine_layers import code_count, codes_by_layer, library_layers
from apot_lit.export.micro_source import MICRO_FILES
from apot_lit.quant.cpu.library import build_library, find_c_compiler, private_directory

Array = npt.NDArray[Any]

MICRO_FLAGS = ("-std=c11", "-O2", "-fPIC", "-DAPOT_INSPECT")
_SOURCES = ("network.c", "apot_micro.c", "apot_micro_inspect.c")
_ALIGNMENT = 4


class MicroEngine:
    """Compiles an export for microcontrollers with the system's compiler, and calls it.

    Args:
        directory: what `write_micro` wrote.
        flags: options of the compiler.

    Raises:
        UserError: if files are missing or damaged, or there is no compiler, or it fails.
    """

    def __init__(self, directory: Path, flags: Sequence[str] = MICRO_FLAGS) -> None:
        check_sums(directory, MICRO_FILES, "microcontroller")
        compiler, place = find_c_compiler(), private_directory()
        if compiler is None or place is None:
            raise UserError(f"{directory}: needs a C compiler (cc or $CC), and a directory to compile into")
        read = [directory / name for name in MICRO_FILES if name.startswith(("network", "apot_micro"))]
        library = build_library(place, "micro", [directory / name for name in _SOURCES], flags, read)
        if library is None:
            raise UserError(f"{directory}: {compiler} can't compile it")
        self.functions = ctypes.CDLL(str(library))
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self.functions.apot_classify.argtypes = [pointer, pointer, pointer, size]
        self.functions.apot_codes.argtypes = [pointer] * 4
        self.functions.apot_layer_weights.argtypes = [ctypes.c_uint32, pointer]
        self.functions.apot_layer_name.restype = ctypes.c_char_p
        sizes = (ctypes.c_uint32 * 6)()
        self.functions.apot_sizes(sizes)
        *self.input_shape, self.classes, logit_bits, self.arena_bytes = sizes
        self.logit_type = np.dtype(f"int{logit_bits}")
        # What lies in the arena between calls must not matter.
        self._arena = np.full(self.arena_bytes + _ALIGNMENT, 0xA5, np.uint8)
        self._place = self._arena.ctypes.data + -self._arena.ctypes.data % _ALIGNMENT

    def weights(self) -> Mapping[str, Array]:
        """See `Engine`."""
        found: dict[str, Array] = {}
        layers = library_layers(self.functions, of_weights=True)
        for index, (layer, shape) in enumerate(layers):
            weights = np.zeros(shape, np.int8)
            self.functions.apot_layer_weights(index, weights.ctypes.data)
            found[layer] = weights if index < len(layers) - 1 else weights[:, :, 0, 0]
        return found

    def logits(self, pixels: Array) -> Array:
        """See `Engine`."""
        pixels = np.ascontiguousarray(pixels)
        found = np.empty((len(pixels), self.classes), self.logit_type)
        for image, logits in zip(pixels, found, strict=True):
            self.functions.apot_classify(image.ctypes.data, logits.ctypes.data, self._place, self.arena_bytes)
        return found

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        pixels = np.ascontiguousarray(pixels)
        layers = library_layers(self.functions, of_weights=False)
        logits = np.empty((len(pixels), self.classes), self.logit_type)
        codes = np.empty((len(pixels), code_count(layers)), np.uint8)
        for n, image in enumerate(pixels):
            self.functions.apot_codes(image.ctypes.data, logits[n].ctypes.data, self._place, codes[n].ctypes.data)
        return logits, codes_by_layer(codes, layers)
