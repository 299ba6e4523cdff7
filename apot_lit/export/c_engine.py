"""Compiles exported C source and runs it."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.c_source import RUNTIME_FILES
from apot_lit.graph.shapes import Shape, infer_shapes
from apot_lit.graph.steps import Quantize, Step
from apot_lit.quant.cpu.library import find_c_compiler

Array = npt.NDArray[Any]


class CEngine:
    """Compiles exported C source with the system's compiler and runs the program.

    Args:
        directory: what `build_c` was written to.
        steps: of the network it was made from.
        input_shape: channels, height and width of an image.

    Raises:
        UserError: if there is no compiler, or it fails.
    """

    def __init__(self, directory: Path, steps: Sequence[Step], input_shape: Shape) -> None:
        shapes = infer_shapes(steps, input_shape)
        self.classes = shapes[steps[-1].output][0]
        self.sizes = [(s.layer, int(np.prod(shapes[s.output]))) for s in steps if isinstance(s, Quantize)]
        compiler = find_c_compiler()
        if compiler is None:
            raise UserError("C source can't be verified: no C compiler was found (cc or $CC)")
        self._scratch = tempfile.TemporaryDirectory()
        self.program = Path(self._scratch.name) / "network"
        sources = [str(directory / name) for name in ("network.c", *RUNTIME_FILES) if name.endswith(".c")]
        command = [compiler, "-O3", *sources, "-o", str(self.program)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            first = (done.stderr.strip().splitlines() or ["no message"])[0]
            raise UserError(f"{directory}: can't be compiled: {first}")

    def weights(self) -> Mapping[str, Array]:
        """None: the program says nothing of its weights."""
        return {}

    def logits(self, pixels: Array) -> Array:
        """See `Engine`."""
        return self._run(pixels, 0)[0]

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        logits, codes = self._run(pixels, len(pixels))
        ends = np.cumsum([size for _, size in self.sizes])[:-1]
        parts = np.split(codes, ends, axis=1) if self.sizes else []
        return logits, {layer: part for (layer, _), part in zip(self.sizes, parts, strict=True)}

    def _run(self, pixels: Array, with_codes: int) -> tuple[Array, Array]:
        command = [str(self.program), str(with_codes)]
        done = subprocess.run(command, input=np.ascontiguousarray(pixels).tobytes(), capture_output=True)
        row = self.classes * 4 + (sum(size for _, size in self.sizes) if with_codes else 0)
        if done.returncode or len(done.stdout) != row * len(pixels):
            raise UserError("verification failed: the compiled program ended early")
        rows = np.frombuffer(done.stdout, np.uint8).reshape(len(pixels), row)
        return np.ascontiguousarray(rows[:, : self.classes * 4]).view(np.float32), rows[:, self.classes * 4 :]
