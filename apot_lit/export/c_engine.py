"""Runs exported C source, for verification."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.c_library import FLAGS, CLibrary
from apot_lit.export.engine_layers import code_count, codes_by_layer

Array = npt.NDArray[Any]


class CEngine:
    """Compiles exported C source with the system's compiler, and calls it.

    Args:
        directory: what `write_c` wrote.
        flags: options of the compiler.

    Raises:
        UserError: if files are missing or damaged, or there is no compiler, or it fails.
    """

    def __init__(self, directory: Path, flags: Sequence[str] = FLAGS) -> None:
        self.directory = directory
        self.library = CLibrary(directory, flags)

    def weights(self) -> Mapping[str, Array]:
        """See `Engine`."""
        found: dict[str, Array] = {}
        for index, (layer, shape) in enumerate(self.library.layers(of_weights=True)):
            weights = np.zeros(shape, np.int8)
            if not self.library.weights(index, weights):
                raise UserError(f"{self.directory}: layer {layer} has weights beside those of its channels")
            # The last layer has no kernel.
            found[layer] = weights if index < self.library.functions.apot_layer_count(True) - 1 else weights[:, :, 0, 0]
        return found

    def logits(self, pixels: Array) -> Array:
        """See `Engine`."""
        return self.library.session(self.library.images).classify(pixels)

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        layers = self.library.layers(of_weights=False)
        logits = np.empty((len(pixels), self.library.classes), self.library.logit_type)
        codes = np.empty((len(pixels), code_count(layers)), np.uint8)
        session = self.library.session(1)
        for n, image in enumerate(pixels):
            session.codes(image, logits[n], codes[n])
        return logits, codes_by_layer(codes, layers)
