"""A network as C source: integer codes, lists of shifts, tables, scales, and a small routine that runs them."""

from collections.abc import Sequence
from functools import singledispatchmethod
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.workspace import plan_workspace
from apot_lit.graph.shapes import Shape, infer_shapes
from apot_lit.graph.steps import (
    INPUT,
    Add,
    Affine,
    Convolution,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Normalize,
    Quantize,
    Relu,
    Step,
)
from apot_lit.quant.terms import Terms, terms_of_codes

RUNTIME_FILES = ("apot_runtime.h", "apot_runtime.c", "main.c")
C_FILES = ("network.h", "network.c", *RUNTIME_FILES)
MAX_TERMS = 4
_PER_LINE = 24

HEADER = """/* {title} */
#ifndef APOT_NETWORK_H
#define APOT_NETWORK_H

#include "apot_runtime.h"

/* Workspace: {workspace} bytes, accumulators: {accumulators} int32, constants: about {constants} bytes. */
extern const apot_network apot_exported;

#endif
"""


def build_c(steps: Sequence[Step], input_shape: Shape, title: str) -> dict[str, str]:
    """Writes a network as C source.

    Args:
        steps: from `build_steps`.
        input_shape: channels, height and width of an image.
        title: one line for the comment at the top.

    Returns:
        Content by file name: ``network.h`` and ``network.c`` (the network as constants), ``apot_runtime.h`` and
        ``apot_runtime.c`` (what runs it), and ``main.c``, a program that reads pixels and writes logits. They need
        nothing but the C standard library: ``cc -O3 network.c apot_runtime.c main.c``.

    Raises:
        UserError: for a layer whose shape does not fit.
    """
    writer = _Writer(steps, input_shape)
    source = [f"/* {title} */", '#include "network.h"', "", *writer.lines, *writer.closing()]
    header = HEADER.format(
        title=title,
        workspace=writer.workspace,
        accumulators=writer.accumulators,
        constants=writer.constant_bytes,
    )
    runtime = {name: (files("apot_lit.export") / "c" / name).read_text() for name in RUNTIME_FILES}
    return {"network.h": header, "network.c": "\n".join(source) + "\n", **runtime}


def write_c(steps: Sequence[Step], input_shape: Shape, title: str, directory: Path) -> None:
    """Writes the files of `build_c` to a new directory."""
    files_by_name = build_c(steps, input_shape, title)
    directory.mkdir()
    for name, content in files_by_name.items():
        (directory / name).write_text(content)


class _Writer:
    def __init__(self, steps: Sequence[Step], input_shape: Shape) -> None:
        self.shapes = infer_shapes(steps, input_shape)
        self.lines: list[str] = []
        self.entries: list[str] = []
        self.accumulators = 1
        self.constant_bytes = 0
        self._known: dict[Any, str] = {}
        self.input_shape = input_shape
        self.last = steps[-1].output
        self.offsets, self.workspace = plan_workspace(steps, self.shapes)
        for step in steps:
            self.write(step)

    def closing(self) -> list[str]:
        """The list of steps and the network itself."""
        channels, height, width = self.input_shape
        classes = self.shapes[self.last][0]
        return [
            "static const apot_step steps[] = {",
            *(f"    {entry}," for entry in self.entries),
            "};",
            "",
            "const apot_network apot_exported = {",
            f"    steps, {len(self.entries)}, {self.workspace}, {self.accumulators}, {self.offsets[self.last]},",
            f"    {classes}, {channels * height * width}",
            "};",
        ]

    @singledispatchmethod
    def write(self, step: Step) -> None:
        """Adds the constants and the entry of a step."""
        raise NotImplementedError(type(step))

    @write.register
    def _(self, step: Normalize) -> None:
        fields = f"{_float(step.offset)}, {_float(step.scale)}"
        self._entry(step, "NORMALIZE", self._struct(step, "apot_normalization", fields))

    @write.register
    def _(self, step: Quantize) -> None:
        table = self._array("uint8_t", np.array(step.table, np.uint8), key=(step.table,))
        fields = f"{_float(step.factor)}, {_float(2.0 * step.unit)}, {table}"
        self._entry(step, "QUANTIZE", self._struct(step, "apot_quantizer", fields))

    @write.register
    def _(self, step: Convolution) -> None:
        into, out = self.shapes[step.inputs[0]], self.shapes[step.output]
        numbers = [*step.weight.shape[2:], *step.stride, *step.padding, *step.dilation, step.groups, step.zero_point]
        codes = weights = terms = "0"
        magnitudes = "0, 0"
        if step.integer:
            used = [int(magnitude) for magnitude in np.unique(np.abs(step.weight.astype(int))) if magnitude]
            grouped = step.weight.reshape(step.groups, -1, *step.weight.shape[1:])
            codes = self._array("int8_t", grouped.transpose(0, 2, 3, 4, 1))
            terms = self._terms(terms_of_codes(step.levels, max(used, default=0)))
            magnitudes = f"{self._array('uint8_t', np.array(used or [0], np.uint8))}, {len(used)}"
            self.accumulators = max(self.accumulators, out[0] * out[1] * out[2])
        elif step.weight.dtype == np.int8:
            codes = self._array("int8_t", step.weight)
        else:
            weights = self._array("float", step.weight)
        bias = "0" if step.bias is None else self._array("float", step.bias)
        scale = _float(1.0 if step.scale is None else step.scale)
        arrays = f"{codes}, {terms}, {magnitudes}, {weights}, {scale}, {bias}"
        fields = f"{_shape(into)}, {_shape(out)}, {', '.join(map(str, numbers))}, {arrays}"
        kind = "CODES_CONVOLUTION" if step.integer else "FLOAT_CONVOLUTION"
        self._entry(step, kind, self._struct(step, "apot_convolution", fields))

    @write.register
    def _(self, step: Linear) -> None:
        integer = step.weight.dtype == np.int8
        weight = self._array("int8_t" if integer else "float", step.weight)
        bias = "0" if step.bias is None else self._array("float", step.bias)
        outputs, inputs = step.weight.shape
        pointers = f"{weight}, 0" if integer else f"0, {weight}"
        scale = _float(1.0 if step.scale is None else step.scale)
        fields = f"{inputs}, {outputs}, {pointers}, {scale}, {bias}"
        self._entry(step, "LINEAR", self._struct(step, "apot_linear", fields))

    @write.register
    def _(self, step: Affine) -> None:
        fields = f"{self._array('float', step.factor)}, {self._array('float', step.offset)}"
        self._entry(step, "AFFINE", self._struct(step, "apot_affine", fields))

    @write.register
    def _(self, step: Relu) -> None:
        self._entry(step, "RELU", "0")

    @write.register
    def _(self, step: Add) -> None:
        self._entry(step, "ADD", "0")

    @write.register
    def _(self, step: MaxPool) -> None:
        numbers = [*step.kernel, *step.stride, *step.padding]
        self._pool(step, "MAX_POOL", numbers)

    @write.register
    def _(self, step: GlobalAveragePool) -> None:
        _, height, width = self.shapes[step.inputs[0]]
        self._pool(step, "AVERAGE_POOL", [height, width, 1, 1, 0, 0])

    @write.register
    def _(self, step: Flatten) -> None:
        """Values are stored flat already, and share their place (see `plan_workspace`)."""

    def _pool(self, step: Step, kind: str, numbers: list[int]) -> None:
        into, out = self.shapes[step.inputs[0]], self.shapes[step.output]
        fields = f"{', '.join(map(str, numbers))}, {_shape(into)}, {_shape(out)}"
        self._entry(step, kind, self._struct(step, "apot_pool", fields))

    def _entry(self, step: Step, kind: str, parameters: str) -> None:
        first, second = (*step.inputs, INPUT)[:2]
        places = ", ".join(str(self.offsets[name]) for name in (first, second, step.output))
        self.entries.append(f"{{APOT_{kind}, {places}, {_shape(self.shapes[step.output])}, {parameters}}}")

    def _struct(self, step: Step, kind: str, fields: str) -> str:
        name = f"{kind.removeprefix('apot_')}_{len(self.entries)}"
        self.lines += [f"/* {step.output} */", f"static const {kind} {name} = {{{fields}}};", ""]
        return f"&{name}"

    def _terms(self, split: dict[int, Terms]) -> str:
        key = tuple(sorted(split.items()))
        if key not in self._known:
            name = self._known[key] = f"terms_{len(self._known)}"
            if max(map(len, split.values())) > MAX_TERMS:
                raise UserError(f"weights of more than {MAX_TERMS} powers of two can't be exported as C")
            rows = []
            for magnitude in range(max(split) + 1):
                terms = split.get(magnitude, ())
                padding = [0] * (MAX_TERMS - len(terms))
                shifts = ", ".join(map(str, [*(shift for _, shift in terms), *padding]))
                signs = ", ".join(map(str, [*(sign for sign, _ in terms), *padding]))
                rows.append(f"    {{{len(terms)}, {{{shifts}}}, {{{signs}}}}}, /* {magnitude} */")
            self.lines += [f"static const apot_terms {name}[] = {{", *rows, "};", ""]
            self.constant_bytes += len(rows) * (1 + 2 * MAX_TERMS)
        return self._known[key]

    def _array(self, kind: str, array: npt.NDArray[Any], key: Any = None) -> str:
        if key is not None and key in self._known:
            return self._known[key]
        name = f"{kind.removesuffix('_t')}s_{len(self.lines)}"
        if key is not None:
            self._known[key] = name
        flat = array.ravel().tolist()
        texts = [_float(value) if kind == "float" else str(value) for value in flat]
        rows = [f"    {', '.join(texts[start : start + _PER_LINE])}," for start in range(0, len(texts), _PER_LINE)]
        self.lines += [f"static const {kind} {name}[{len(flat)}] = {{", *rows, "};", ""]
        self.constant_bytes += array.nbytes
        return name


def _shape(shape: Shape) -> str:
    return "{" + ", ".join(map(str, shape)) + "}"


def _float(value: float) -> str:
    """A float32 constant that C reads back exactly: hexadecimal digits."""
    return f"{float(np.float32(value)).hex()}f"
