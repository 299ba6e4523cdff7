"""Runs an exported ONNX file in onnxruntime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.onnx_checksum import check_checksum
from apot_lit.export.onnx_writer import CODES, WEIGHT
from apot_lit.graph.steps import INPUT

Array = npt.NDArray[Any]

_BATCH = 128  # of what is computed at once; the memory for comparisons with all thresholds grows with it


class OnnxEngine:
    """Runs an ONNX file that this project wrote in onnxruntime on the CPU, with what is in the file alone.

    Args:
        path: the file.
        threads: of onnxruntime, None for its default.

    Attributes:
        metadata: what the file says of itself, as text.
        input_shape: channels, height and width of an image.

    Raises:
        UserError: if the file is missing, damaged, or does not fit the checksum that is in it.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnx
        from onnx import TensorProto, helper

        self._path, self._threads = path, threads
        try:
            model = onnx.load(path)
            check_checksum(model)
            onnx.checker.check_model(model)
            self.metadata = {entry.key: entry.value for entry in model.metadata_props}
            self._session = self._open(model)
            values = [name for node in model.graph.node for name in node.output]
            constants = [tensor.name for tensor in model.graph.initializer]
            self._codes = [name for name in values if name.endswith(CODES)]
            self._weights = [name for name in (*values, *constants) if name.endswith(WEIGHT)]
            for name in (*self._codes, *self._weights):
                value = helper.make_empty_tensor_value_info(name)
                value.type.tensor_type.elem_type = TensorProto.FLOAT
                model.graph.output.append(value)
            self._watching = self._open(model)
        except Exception as error:  # protobuf, checker and onnxruntime each have their own
            raise UserError(f"{path}: is damaged or not this network's ({str(error).splitlines()[0][:150]})") from error
        shape = model.graph.input[0].type.tensor_type.shape.dim
        self.input_shape = tuple(size.dim_value for size in shape[1:])
        self._blank = np.zeros([1, *self.input_shape], np.uint8)
        self._is_integer = model.graph.output[0].type.tensor_type.elem_type == TensorProto.INT64

    @property
    def logit_scale(self) -> float:
        """What 1 in the logits stands for.

        Raises:
            UserError: if the file does not say so, as that of a network in full precision does not.
        """
        try:
            return float(self.metadata["logit_scale"])
        except (KeyError, ValueError) as error:
            raise UserError(f"{self._path}: does not say what its logits stand for (logit_scale)") from error

    def weights(self) -> Mapping[str, Array]:
        """See `Engine`: as the convolutions read them; those of a network in full precision are floats."""
        found = self._watching.run(self._weights, {INPUT: self._blank})
        return {name.removesuffix(WEIGHT): self._whole(name, w) for name, w in zip(self._weights, found, strict=True)}

    def logits(self, pixels: Array) -> Array:
        """See `Engine`; those of a network in full precision are float32."""
        (logits,) = _in_pieces(lambda piece: self._session.run(None, {INPUT: piece}), pixels)
        return logits

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        names = [self._session.get_outputs()[0].name, *self._codes]
        logits, *codes = _in_pieces(lambda piece: self._watching.run(names, {INPUT: piece}), pixels)
        found = zip(self._codes, codes, strict=True)
        return logits, {name.removesuffix(CODES): self._whole(name, values) for name, values in found}

    def _whole(self, name: str, values: Array) -> Array:
        """Whole numbers in float32 as integers."""
        if not self._is_integer:
            return values
        integers = values.astype(np.int32)
        if not np.array_equal(integers, values):
            raise UserError(f"{self._path}: is damaged ({name} has values that are not whole numbers)")
        return integers

    def _open(self, model: Any) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _in_pieces(run: Any, pixels: Array) -> Sequence[Array]:
    if len(pixels) <= _BATCH:
        return [np.asarray(value) for value in run(pixels)]
    pieces = [run(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)]
    return [np.concatenate(values) for values in zip(*pieces, strict=True)]
