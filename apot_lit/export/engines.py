"""What runs exported networks: onnxruntime, the C compiler's program, torch with packed weights."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.export.c_source import RUNTIME_FILES
from apot_lit.export.onnx_checksum import check_checksum
from apot_lit.export.packed import load_packed
from apot_lit.export.verify import act_quantizers
from apot_lit.graph.shapes import Shape, infer_shapes
from apot_lit.graph.steps import INPUT, Convolution, Linear, Quantize, Step
from apot_lit.quant.convert import quant_layers
from apot_lit.quant.cpu.library import find_c_compiler
from apot_lit.quant.quantizers import Codes

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


class TorchEngine:
    """Runs a network in torch.

    Args:
        network: takes uint8 pixels; in evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def weights(self) -> Mapping[str, Array]:
        """See `Engine`."""
        with torch.no_grad():
            layers = dict(quant_layers(self.network))
            return {name: layer.weight_quantizer(layer.weight).values.numpy() for name, layer in layers.items()}

    def logits(self, pixels: Array) -> Array:
        """See `Engine`."""
        with torch.no_grad():
            logits: Tensor = self.network(torch.from_numpy(pixels))
        return logits.numpy()

    def codes(self, pixels: Array) -> tuple[Array, Mapping[str, Array]]:
        """See `Engine`."""
        found: dict[str, Array] = {}

        def hook_of(layer: str) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Codes) -> None:
                found[layer] = output.values.numpy().astype(np.uint8)

            return hook

        hooks = [
            quantizer.register_forward_hook(hook_of(layer)) for layer, quantizer in act_quantizers(self.network).items()
        ]
        logits = self.logits(pixels)
        for hook in hooks:
            hook.remove()
        return logits, found


class PackedEngine(TorchEngine):
    """Runs a packed file in torch.

    Args:
        path: the file.
        network: a network of the same shape to fill, if it is not one of `apot_lit.models`.
    """

    def __init__(self, path: Path, network: nn.Module | None = None) -> None:
        super().__init__(load_packed(path, network))
