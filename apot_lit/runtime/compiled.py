"""An exported network, compiled once and called from Python."""

from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.export.c_library import CLibrary

Array = npt.NDArray[Any]


class Network:
    """Classifies images with the C source that ``format=c`` wrote.

    It is compiled at the first use; the library is kept in the user's cache. Several threads may call it at once: the
    other threads of Python run meanwhile.

    Args:
        path: directory of the export.

    Attributes:
        input_shape: channels, height and width of an image.
        classes: number of logits.
        kernels: which instructions it computes with on this processor.

    Raises:
        UserError: if files are missing or damaged, or there is no C compiler, or it fails.

    Shape:
        uint8 pixels ``[N, C, H, W]`` to integer logits ``[N, classes]``.
    """

    def __init__(self, path: str | Path) -> None:
        self._library = CLibrary(Path(path))
        self._own = local()
        self.input_shape = self._library.input_shape
        self.classes = self._library.classes
        self.kernels = self._library.kernels

    def __call__(self, pixels: Array) -> Array:
        """Returns the logits.

        Raises:
            UserError: for pixels of another type or shape.
        """
        if not hasattr(self._own, "session"):
            self._own.session = self._library.session(self._library.images)
        found: Array = self._own.session.classify(pixels)
        return found

    def predict(self, pixels: Array) -> npt.NDArray[np.int64]:
        """Returns the class of each image, the first of its largest logits."""
        return self(pixels).argmax(1)
