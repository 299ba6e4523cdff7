"""Runs the modules of a page in wasmtime, for verification."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.engine_layers import Layer, code_count, codes_by_layer
from apot_lit.export.web_module import HEAP
from apot_lit.export.web_parts import read_modules

Array = npt.NDArray[Any]

_ALIGNMENT, _PAGE = 64, 65536


class WasmNetwork:
    """A module of WebAssembly, instantiated.

    Args:
        module: its bytes.

    Attributes:
        input_shape: channels, height and width of an image.
        classes: number of logits.
        images: a good number of images to be computed side by side.
    """

    def __init__(self, module: bytes) -> None:
        from wasmtime import Engine, Instance, Module, Store

        engine = Engine()
        self._store = Store(engine)
        # Functions, a memory and a number, which have different types by the name alone.
        self._exports = cast(Any, Instance(self._store, Module(engine, module), []).exports(self._store))
        self._memory = self._exports["memory"]
        self._end = int(self._exports[HEAP].value(self._store))
        sizes = self._take(7 * 4)
        self._call("apot_sizes", sizes)
        numbers = (int(number) for number in self._view(sizes, 7 * 4).view(np.uint32))
        channels, height, width, self.classes, logit_bits, self._arena_bytes, self.images = numbers
        self.input_shape = channels, height, width
        self.logit_type = np.dtype(f"int{logit_bits}")
        self._arena = self._take(self.images * self._arena_bytes)
        self._pixels = self._take(self.images * prod(self.input_shape))
        self._logits = self._take(self.images * self.classes * self.logit_type.itemsize)

    def classify(self, pixels: Array) -> Array:
        """Logits ``[N, classes]`` of uint8 pixels ``[N, C, H, W]``."""
        found = [self._classify(pixels[n : n + self.images]) for n in range(0, len(pixels), self.images)]
        return np.concatenate(found)

    def _classify(self, pixels: Array) -> Array:
        self._view(self._pixels, pixels.size)[:] = pixels.reshape(-1)
        arguments = self._pixels, len(pixels), self._logits, self._arena, self.images * self._arena_bytes
        self._call("apot_classify_batch", *arguments)
        size = len(pixels) * self.classes * self.logit_type.itemsize
        return self._view(self._logits, size).view(self.logit_type).reshape(len(pixels), -1).copy()

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """Logits, and by layer the codes ``[N, C, H, W]`` that it reads."""
        layers = self.layers(of_weights=False)
        end, total, logit_bytes = self._end, code_count(layers), self.classes * self.logit_type.itemsize
        place, logits, codes = self._take(total), [], []
        for image in pixels:
            self._view(self._pixels, image.size)[:] = image.reshape(-1)
            self._call("apot_codes", self._pixels, self._logits, self._arena, self._arena_bytes, place)
            logits.append(self._view(self._logits, logit_bytes).view(self.logit_type).copy())
            codes.append(self._view(place, total).copy())
        self._end = end
        return np.stack(logits), codes_by_layer(np.stack(codes), layers)

    def layers(self, of_weights: bool) -> list[Layer]:
        """Name and shape of the weights of each layer, or of the codes that it reads."""
        return [
            (
                self._text(self._call("apot_layer_name", of_weights, layer)),
                tuple(self._call("apot_layer_size", of_weights, layer, dimension) for dimension in range(4)),
            )
            for layer in range(self._call("apot_layer_count", of_weights))
        ]

    def weights(self, layer: int, shape: tuple[int, ...]) -> Array | None:
        """Weights of a layer; None where what only fills up blocks is not 0, as it must be."""
        end = self._end
        place = self._take(prod(shape))
        is_damaged = self._call("apot_weights", layer, place)
        found = self._view(place, prod(shape)).view(np.int8).reshape(shape).copy()
        self._end = end
        return None if is_damaged else found

    def _take(self, count: int) -> int:
        """Begin of so many bytes behind those that are taken already."""
        begin = -(-self._end // _ALIGNMENT) * _ALIGNMENT
        self._end = begin + count
        missing = self._end - self._memory.data_len(self._store)
        if missing > 0:
            self._memory.grow(self._store, -(-missing // _PAGE))
        return begin

    def _view(self, begin: int, count: int) -> Array:
        """Bytes of the memory as they are now; not to be kept, for memory that grows may move."""
        if not 0 <= begin <= begin + count <= self._memory.data_len(self._store):
            raise UserError("the network can't be run: its module points outside its memory")
        return np.frombuffer(self._memory.get_buffer_ptr(self._store, count, begin), np.uint8)

    def _text(self, begin: int) -> str:
        end = begin
        while self._view(end, 1)[0]:
            end += 1
        return self._view(begin, end - begin).tobytes().decode()

    def _call(self, name: str, *arguments: int) -> int:
        return int(self._exports[name](self._store, *map(int, arguments)) or 0)


class WebEngine:
    """Runs both modules of a page.

    Codes, and the logits with them, come from the module with vector instructions, `logits` from the plain one: so
    `verify` compares both.

    Args:
        path: what `write_web` wrote.

    Raises:
        UserError: if it is no page of format=web, or was changed or damaged.
    """

    def __init__(self, path: Path) -> None:
        modules = read_modules(path)
        self.path = path
        self.simd, self.plain = WasmNetwork(modules.simd), WasmNetwork(modules.plain)

    def weights(self) -> Mapping[str, Array]:
        """See `Engine`."""
        found: dict[str, Array] = {}
        layers = self.simd.layers(of_weights=True)
        for index, (layer, shape) in enumerate(layers):
            weights = self.simd.weights(index, shape)
            if weights is None:
                raise UserError(f"{self.path}: layer {layer} has weights beside those of its channels")
            # The last layer has no kernel.
            found[layer] = weights if index < len(layers) - 1 else weights[:, :, 0, 0]
        return found

    def logits(self, pixels: Array) -> Array:
        """See `Engine`."""
        return self.plain.classify(pixels)

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        return self.simd.codes(pixels)
