"""Runs an exported ONNX file in onnxruntime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.onnx_checksum import check_checksum
from apot_lit.graph.steps import INPUT, Convolution, Linear, Quantize, Step

Array = npt.NDArray[Any]


class OnnxFile:
    """Runs an ONNX file that this project wrote in onnxruntime on the CPU.

    Args:
        path: the file.
        threads: of onnxruntime, None for its default.

    Attributes:
        code_names: names of the values that are activation codes, in the order they are computed.

    Raises:
        UserError: if the file is missing, damaged, or does not fit the checksum that is in it.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnx
        from onnx import TensorProto, helper

        self._threads = threads
        try:
            model = onnx.load(path)
            check_checksum(model)
            onnx.checker.check_model(model)
            self._session = self._open(model)
            self._constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
            self.code_names = [node.output[0] for node in model.graph.node if node.op_type == "Gather"]
            model.graph.output.extend(
                helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", None, None, None])
                for name in self.code_names
            )
            self._with_codes = self._open(model)
        except Exception as error:  # protobuf, checker and onnxruntime each have their own
            raise UserError(f"{path}: is damaged or not this network's ({str(error).splitlines()[0][:150]})") from error

    def logits(self, pixels: Array) -> Array:
        """See `Engine`."""
        (logits,) = self._session.run(None, {INPUT: pixels})
        return np.asarray(logits)

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """Logits, and activation codes by the name they have in the file."""
        logits, *codes = self._with_codes.run(None, {INPUT: pixels})
        return logits, dict(zip(self.code_names, codes, strict=True))

    def _open(self, model: Any) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class OnnxEngine(OnnxFile):
    """Runs the ONNX file of a known network.

    Args:
        path: the file.
        steps: of the network it was made from; they name its values.
        threads: of onnxruntime, None for its default.

    Raises:
        UserError: as `OnnxFile`, and if the file's values are not those of the steps.
    """

    def __init__(self, path: Path, steps: Sequence[Step], threads: int | None = None) -> None:
        super().__init__(path, threads)
        self._layers = {step.output: step.layer for step in steps if isinstance(step, Quantize)}
        self._weights = {step.layer: step for step in steps if isinstance(step, Convolution | Linear)}
        names = {*self._layers, *(f"{layer}.weight" for layer in self._weights)}
        missing = sorted(names - {*self.code_names, *self._constants})
        if missing:
            raise UserError(f"{path}: is damaged or not this network's ({missing[0]} is missing)")

    def weights(self) -> Mapping[str, Array]:
        """See `Engine`."""
        found = {layer: self._constants[f"{layer}.weight"] for layer in self._weights}
        return {layer: array.T if isinstance(self._weights[layer], Linear) else array for layer, array in found.items()}

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        logits, codes = super().codes(pixels)
        return logits, {layer: codes[name] for name, layer in self._layers.items()}
