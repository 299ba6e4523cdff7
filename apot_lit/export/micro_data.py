"""The constants of a network for microcontrollers and the list of its steps, in C."""

from collections.abc import Sequence

import numpy as np

from apot_lit.errors import UserError
from apot_lit.export.micro_arrays import MicroConstants, bytes_needed, bytes_of, pack_rows
from apot_lit.export.micro_plan import EIGHT, Operation, has_nibbles, patch_name, place_operations, plan_micro
from apot_lit.graph.shapes import infer_shapes
from apot_lit.graph.steps import INPUT, Add
from apot_lit.integer.fixed_point import check_logits
from apot_lit.integer.network import Accumulate, Head, IntegerNetwork, Rescale, SumPositions, Threshold

_INT16, _UINT16 = 2**15 - 1, 2**16 - 1
_KINDS = ("NARROW", "WIDE", "SINGLE")


class MicroWriter:
    """Writes the constants of a network whose batch norms are not folded.

    Attributes:
        arena: bytes of working memory.
        proved_bits: of a logit.
        logit_bits: of the type that holds one.
        classes: number of logits.
        kernels: by kind of kernel the bits of the weights that it is needed for.
    """

    def __init__(self, network: IntegerNetwork) -> None:
        self.network, self.constants = network, MicroConstants()
        self.operations, self.shapes = plan_micro(network), infer_shapes(network.steps, network.input_shape)
        self.offsets, self.arena = place_operations(self.operations, 1 if network.stream_bit == EIGHT else 2)
        head = self.operations[-1].step
        assert isinstance(head, Head)
        self.positions = next((step.positions for step in network.steps if isinstance(step, SumPositions)), 1)
        self.proved_bits = check_logits(head, (network.largest + 1) * self.positions)
        self.logit_bits, self.classes = 32 if self.proved_bits <= 32 else 64, len(head.weight)
        self.kernels: dict[str, set[int]] = {kind: set() for kind in _KINDS}
        self.structures: list[str] = []
        self.steps: list[str] = []
        self.weight_layers: list[str] = []
        self.code_layers: list[str] = []
        self.quantisers = {operation.place: operation.codes for operation in self.operations if operation.codes}
        for index, operation in enumerate(self.operations):
            self._operation(index, operation)

    def source(self) -> str:
        """The whole of ``network.c`` behind its first line."""
        lines = [
            *('#include "apot_micro_inspect.h"', "", *self.constants.lines, *self.structures),
            *("const apot_step apot_steps[] = {", *self.steps, "};"),
            *(f"const uint8_t apot_step_count = {len(self.steps)};", "", "#ifdef APOT_INSPECT"),
        ]
        for kind, layers in (("weight", self.weight_layers), ("code", self.code_layers)):
            lines += [f"const apot_layer apot_{kind}_layers[] = {{", *(layers or ["    {0},"]), "};"]
            lines += [f"const uint32_t apot_{kind}_layer_count = {len(layers)};"]
        return "\n".join([*lines, "#endif"]) + "\n"

    def _operation(self, index: int, operation: Operation) -> None:
        step = operation.step
        if isinstance(step, Accumulate):
            kind, fields = "CONVOLUTION", self._convolution(index, operation, step)
        elif isinstance(step, Threshold):
            channels, height, width = operation.shape
            kind = "THRESHOLD"
            fields = {"positions": str(height * width), "channels": str(channels), "levels": self._levels(step)}
        elif isinstance(step, Head):
            kind, fields = "HEAD", self._head(index, operation, step)
        else:
            flags = ["APOT_ADD"] * isinstance(step, Add) + ["APOT_RELU"] * operation.has_relu
            kind, fields = "SUM", {"length": str(int(np.prod(operation.shape))), "flags": " | ".join(flags)}
        if operation.source != INPUT:
            fields["in"] = str(self.offsets[operation.source])
        if operation.added is not None:
            fields["added"] = str(self.offsets[operation.added])
        if not isinstance(step, Head):
            fields["out"] = str(self.offsets[operation.place])
        body = ",\n    ".join(f".{name} = {value}" for name, value in fields.items())
        structure = f"static const apot_{kind.lower()} step_{index} = {{\n    {body}}};\n"
        self.structures.append(f"/* {_comment(operation.output)} */\n{structure}")
        self.steps.append(f"    {{&step_{index}, APOT_{kind}}},")
        if operation.codes is not None:
            codes = self._codes(operation.codes) if has_nibbles(operation.codes) else "0"
            place = self.offsets[operation.place]
            self.code_layers.append(_layer(operation.codes.layer, index, (*operation.shape, 1), place, codes))
        if isinstance(step, Accumulate | Head):
            self.weight_layers.append(_layer(step.layer, index, (*step.weight.shape, 1, 1)[:4], 0, "0"))

    def _convolution(self, index: int, operation: Operation, step: Accumulate) -> dict[str, str]:
        norm, pool, reads = operation.norm, operation.pool, self.quantisers.get(operation.source)
        assert norm is not None
        outputs, inputs, *kernel = step.weight.shape
        (_, *size), (_, *out) = self.shapes[step.inputs[0]], self.shapes[step.output]
        is_pixels = step.inputs[0] == INPUT
        flags = {
            "RELU": operation.has_relu,
            "ADD": operation.added is not None,
            "ADD_RELU": operation.has_second_relu,
            "POOL": pool is not None,
            "CODES": operation.threshold is not None,
            "OF_PIXELS": is_pixels,
        }
        rows = step.weight.transpose(0, 2, 3, 1).reshape(outputs, -1)
        bias_bytes, channels = _channels(norm)
        fields = {
            "weights": self._weights(rows, None if is_pixels else step.largest, operation.eights, step.layer),
            "channels": self.constants.array("uint8_t", channels, "channels"),
            "input_codes": self._codes(reads) if reads is not None and has_nibbles(reads) else "0",
            "patch": self._place(patch_name(index)),
            "factor": step.multiplier,
            "offset": step.offset,
            **{"inputs": inputs, "outputs": outputs, "in_height": size[0], "in_width": size[1]},
            **{"out_height": out[0], "out_width": out[1]},
            **_pairs("kernel", kernel),
            **_pairs("stride", step.stride),
            **_pairs("pad", step.padding),
            "bias_bytes": bias_bytes,
            "flags": " | ".join(f"APOT_{name}" for name, is_set in flags.items() if is_set) or "0",
        }
        if pool is not None:
            height, width = operation.shape[1:]
            fields |= {"pool_height": height, "pool_width": width}
            fields |= (
                _pairs("window", pool.kernel) | _pairs("pool_stride", pool.stride) | _pairs("pool_pad", pool.padding)
            )
        if operation.threshold is not None:
            fields["levels"] = self._levels(operation.threshold)
        return {name: str(value) for name, value in fields.items()}

    def _head(self, index: int, operation: Operation, step: Head) -> dict[str, str]:
        outputs, inputs = step.weight.shape
        return {
            "weights": self._weights(step.weight, None, operation.eights, step.layer),
            "bias": self.constants.array("apot_logit", step.bias, "bias"),
            "patch": self._place(patch_name(index)),
            "positions": str(self.positions),
            "inputs": str(inputs),
            "outputs": str(outputs),
        }

    def _weights(self, rows: np.ndarray, largest: int | None, eights: int, layer: str) -> str:
        """An `apot_weights`; `largest` is the largest code they are multiplied with, None for what is no code."""
        packed = pack_rows(rows)
        if eights > _UINT16:
            raise UserError(f"layer {layer}: an output reads more values than microcontrollers count")
        reach = EIGHT * int(np.abs(rows.astype(np.int64)).max(initial=1)) * (largest or 1)
        narrow = 0 if largest is None else min(_UINT16, _INT16 // max(reach, 1))
        self.kernels["SINGLE" if largest is None else "NARROW" if narrow else "WIDE"].add(packed.bits)
        levels = "0" if packed.levels is None else self.constants.array("int8_t", packed.levels, "levels")
        name = self.constants.array("uint8_t", packed.rows, "weights")
        return f"{{{name}, {levels}, {eights}, {narrow}, {packed.bits}}}"

    def _levels(self, threshold: Threshold) -> str:
        below = self.constants.array("apot_stream", threshold.thresholds - 1, "below")
        codes = "0" if has_nibbles(threshold) else self._codes(threshold)
        return f"{{{below}, {codes}, {len(threshold.thresholds)}}}"

    def _codes(self, threshold: Threshold) -> str:
        return self.constants.array("uint8_t", np.array(threshold.codes), "codes")

    def _place(self, name: str) -> str:
        return str(self.offsets[name])


def _channels(norm: Rescale) -> tuple[int, np.ndarray]:
    """Bytes of a bias, and the records of all channels: multiplier, shift, bias."""
    biases = norm.bias.tolist()
    count = bytes_needed(biases)
    multipliers = bytes_of(norm.multiplier.tolist(), 2)
    records = zip(multipliers, norm.shift.tolist(), bytes_of(biases, count), strict=True)
    return count, np.array([byte for m, shift, bias in records for byte in (*m, shift, *bias)])


def _pairs(name: str, values: Sequence[int]) -> dict[str, str]:
    """Of rows and of columns."""
    return {f"{name}_y": str(values[0]), f"{name}_x": str(values[1])}


def _layer(name: str, index: int, shape: Sequence[int], place: int, codes: str) -> str:
    return f'    {{"{_comment(name)}", {index}, {{{", ".join(map(str, shape))}}}, {place}, {codes}}},'


def _comment(name: str) -> str:
    """A name as it may stand in a comment or a string of C."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
