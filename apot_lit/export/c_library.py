"""Exported C source as a shared library of this process."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.c_source import C_FILES, check_sums
from apot_lit.export.engine_layers import Layer, library_layers
from apot_lit.quant.cpu.library import build_library, find_c_compiler, private_directory

Array = npt.NDArray[Any]

# The kernels for each processor are compiled in; which of them run is decided there.
FLAGS = ("-std=c11", "-O3", "-fPIC")
_ALIGNMENT = 64
_PIXEL = np.dtype(np.uint8)
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
        arena_bytes: working memory of one image.
        logit_type: of the logits.
        logit_scale: what 1 in the logits stands for.

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
        channels, height, width, self.classes, logit_bits, self.arena_bytes, self.images = sizes
        self.input_shape = channels, height, width
        self.logit_type = np.dtype(f"int{logit_bits}")
        self.logit_scale = float(self.functions.apot_logit_scale().decode())

    def session(self, images: int) -> "CSession":
        """Memory for calls with some images side by side."""
        return CSession(self, images)

    def layers(self, of_weights: bool) -> list[Layer]:
        """Name and shape of the weights of each layer, or of the codes that it reads."""
        return library_layers(self.functions, of_weights)

    def weights(self, layer: int, weights: Array) -> bool:
        """Fills in the weights of a layer; returns whether what only fills up blocks is 0, as it must be."""
        return bool(self.functions.apot_weights(layer, weights.ctypes.data) == 0)

    @property
    def kernels(self) -> str:
        """Which kernels run here."""
        return str(self.functions.apot_kernels_name().decode())


class CSession:
    """Calls an export with memory of its own, so that each thread needs one.

    What is passed is copied there: to ask numpy for an address takes longer than to copy a small image.

    Args:
        library: the export.
        images: how many images are computed side by side.
    """

    def __init__(self, library: CLibrary, images: int) -> None:
        self.library, self.images = library, images
        self._pixels = np.empty((images, *library.input_shape), np.uint8)
        self._logits = np.empty((images, library.classes), library.logit_type)
        self._arena = np.empty(images * library.arena_bytes + _ALIGNMENT, np.uint8)
        begin = self._arena.ctypes.data + -self._arena.ctypes.data % _ALIGNMENT
        self._arguments = self._logits.ctypes.data, begin, images * library.arena_bytes
        self._from = self._pixels.ctypes.data
        self._classify = library.functions.apot_classify_batch
        self._shape = list(library.input_shape)

    def classify(self, pixels: Array) -> Array:
        """Logits ``[N, classes]`` of uint8 pixels ``[N, C, H, W]``.

        Raises:
            UserError: for pixels of another type or shape.
        """
        count, *shape = pixels.shape
        if pixels.dtype != _PIXEL or shape != self._shape:
            wanted = " x ".join(map(str, self._shape))
            raise UserError(f"pixels: must be uint8 [N, {wanted}], are {pixels.dtype} {list(pixels.shape)}")
        if count <= self.images:  # at once: every operation of numpy counts beside a single image
            return self._some(pixels, count).copy()
        found = np.empty((count, self.library.classes), self.library.logit_type)
        for begin in range(0, count, self.images):
            end = min(count, begin + self.images)
            found[begin:end] = self._some(pixels[begin:end], end - begin)
        return found

    def _some(self, pixels: Array, count: int) -> Array:
        """Logits of no more images than are computed side by side; the next call overwrites them."""
        self._pixels[:count] = pixels
        _check(self._classify(self._from, count, *self._arguments))
        return self._logits[:count]

    def codes(self, image: Array, logits: Array, codes: Array) -> None:
        """Fills in logits and codes of one image."""
        self._pixels[0] = image
        _check(self.library.functions.apot_codes(self._from, *self._arguments, codes.ctypes.data))
        logits[:] = self._logits[0]


def _check(status: int) -> None:
    if status:
        raise UserError(f"the network can't be run: {_ERRORS.get(status, status)}")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.apot_classify_batch.argtypes = [pointer, size, pointer, pointer, size]
    library.apot_codes.argtypes = [pointer, pointer, pointer, size, pointer]
    library.apot_weights.argtypes = [ctypes.c_uint32, pointer]
    library.apot_layer_count.restype = ctypes.c_uint32
    for function in (library.apot_layer_name, library.apot_kernels_name, library.apot_logit_scale):
        function.restype = ctypes.c_char_p
    library.apot_layer_name.argtypes = [ctypes.c_int, ctypes.c_uint32]
    library.apot_layer_size.argtypes = [ctypes.c_int, ctypes.c_uint32, ctypes.c_uint32]
    library.apot_layer_size.restype = ctypes.c_int32
    return library
