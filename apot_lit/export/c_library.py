"""Exported C source as a shared library of this process."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.c_source import C_FILES, check_sums
from apot_lit.quant.cpu.library import build_library, find_c_compiler, private_directory

Array = npt.NDArray[Any]

# The kernels for each processor are compiled in; which of them run is decided there.
FLAGS = ("-std=c11", "-O3", "-fPIC")
_ERRORS = {-1: "null pointer", -2: "arena too small", -3: "arena not aligned", -4: "of another version"}


class CLibrary:
    """Functions of an export, compiled once and kept.

    Args:
        directory: what `write_c` wrote.
        flags: options of the compiler.
        is_checked: whether files are compared with their checksums.

    Attributes:
        input_shape: channels, height and width of an image.
        classes: number of logits.
        images: a good number of images to be computed side by side.

    Raises:
        UserError: if files are missing or damaged, or there is no compiler, or it fails.
    """

    def __init__(self, directory: Path, flags: Sequence[str] = FLAGS, is_checked: bool = True) -> None:
        if is_checked:
            check_sums(directory)
        compiler, place = find_c_compiler(), private_directory()
        if compiler is None or place is None:
            raise UserError(f"{directory}: needs a C compiler (cc or $CC), and a directory to compile into")
        read = [directory / name for name in C_FILES if name.endswith((".c", ".h"))]
        sources = [path for path in read if path.suffix == ".c" and path.name != "main.c"]
        library = build_library(place, "network", sources, flags, read)
        if library is None:
            raise UserError(f"{directory}: {compiler} can't compile it; `make` there says why")
        self.functions = _declared(ctypes.CDLL(str(library)))
        sizes = (ctypes.c_uint32 * 7)()
        self.functions.apot_sizes(sizes)
        channels, height, width, self.classes, logit_bits, self._arena_bytes, self.images = sizes
        self.input_shape = channels, height, width
        self.logit_type = np.dtype(f"int{logit_bits}")

    def arena(self, images: int) -> Array:
        """Working memory for some images side by side, aligned."""
        memory = np.empty(images * self._arena_bytes + 64, np.uint8)
        begin = -memory.ctypes.data % 64
        return memory[begin : begin + images * self._arena_bytes]

    def classify(self, pixels: Array, arena: Array) -> Array:
        """Logits ``[N, classes]`` of uint8 pixels ``[N, C, H, W]``."""
        pixels = self._checked(pixels)
        logits = np.empty((len(pixels), self.classes), self.logit_type)
        arguments = (pixels.ctypes.data, len(pixels), logits.ctypes.data, arena.ctypes.data, arena.nbytes)
        self._call(self.functions.apot_classify_batch, *arguments)
        return logits

    def codes(self, image: Array, logits: Array, codes: Array, arena: Array) -> None:
        """Fills in logits and codes of one image."""
        arguments = (image.ctypes.data, logits.ctypes.data, arena.ctypes.data, arena.nbytes, codes.ctypes.data)
        self._call(self.functions.apot_codes, *arguments)

    def layers(self, of_weights: bool) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of the weights of each layer, or of the codes that it reads."""
        names = range(self.functions.apot_layer_count(of_weights))
        size = self.functions.apot_layer_size
        return [
            (
                self.functions.apot_layer_name(of_weights, layer).decode(),
                tuple(size(of_weights, layer, dimension) for dimension in range(4)),
            )
            for layer in names
        ]

    def weights(self, layer: int, weights: Array) -> bool:
        """Fills in the weights of a layer; returns whether what only fills up blocks is 0, as it must be."""
        return bool(self.functions.apot_weights(layer, weights.ctypes.data) == 0)

    @property
    def kernels(self) -> str:
        """Which kernels run here."""
        return str(self.functions.apot_kernels_name().decode())

    def _checked(self, pixels: Array) -> Array:
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.input_shape:
            wanted = " x ".join(map(str, self.input_shape))
            raise UserError(f"pixels: must be uint8 [N, {wanted}], are {pixels.dtype} {list(pixels.shape)}")
        return np.ascontiguousarray(pixels)

    @staticmethod
    def _call(function: Any, *arguments: Any) -> None:
        status = function(*arguments)
        if status:
            raise UserError(f"the network can't be run: {_ERRORS.get(status, status)}")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.apot_classify_batch.argtypes = [pointer, size, pointer, pointer, size]
    library.apot_codes.argtypes = [pointer, pointer, pointer, size, pointer]
    library.apot_weights.argtypes = [ctypes.c_uint32, pointer]
    library.apot_layer_count.restype = ctypes.c_uint32
    library.apot_layer_name.restype = library.apot_kernels_name.restype = ctypes.c_char_p
    library.apot_layer_name.argtypes = [ctypes.c_int, ctypes.c_uint32]
    library.apot_layer_size.argtypes = [ctypes.c_int, ctypes.c_uint32, ctypes.c_uint32]
    library.apot_layer_size.restype = ctypes.c_int32
    return library
