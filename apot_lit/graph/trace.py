"""From a torch model to the list of steps that every export format writes down."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from apot_lit.errors import UserError
from apot_lit.graph.plain_steps import Plain, plain_function, plain_module
from apot_lit.graph.steps import (
    INPUT,
    Affine,
    Codes,
    Concatenate,
    Convolution,
    Floats,
    Linear,
    Normalize,
    Quantize,
    Reals,
    Step,
)
from apot_lit.graph.tracer import NOTHING, is_call, is_nothing, is_size, trace
from apot_lit.models.input import PixelInput
from apot_lit.quant.layers import QuantLayer
from apot_lit.quant.levels import LevelSet
from apot_lit.quant.quantizers import (
    ActivationQuantizer,
    FloatPassthrough,
    InputCodes,
    WeightQuantizer,
)

MAX_ACT_CODE, MAX_WEIGHT_CODE = 255, 127
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_WITH_NUMBERS = (nn.Conv2d, nn.Linear, *_NORMS)


def build_steps(network: nn.Module) -> list[Step]:
    """Lists the operations of a network in evaluation mode, in an order in which they can be computed.

    Args:
        network: a model that begins with a `PixelInput`, quantised or not, made of convolutions, linear layers, batch
            norms and what `apot_lit.graph.plain_steps` knows; control flow must not depend on the input.

    Raises:
        UserError: naming the first layer or operation that can't be exported, codes that don't fit into 8 bits, or a
            network that does not say what its pixels stand for.
    """
    builder = _Builder(network)
    try:
        graph = trace(network)
    except UserError:
        builder.refuse_unknown(name for name, module in network.named_modules() if is_call(module, name))
        raise
    builder.refuse_unknown(str(node.target) for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        builder.visit(node)
    return builder.steps


class _Builder:
    def __init__(self, network: nn.Module) -> None:
        self.modules = dict(network.named_modules())
        inputs = [module for module in self.modules.values() if isinstance(module, PixelInput)]
        if len(inputs) != 1:
            raise UserError(
                f"the network: needs one PixelInput, which says what its pixels stand for, has {len(inputs)}; "
                "put one before it: nn.Sequential(PixelInput(mean, std), network), then quantise"
            )
        self.pixels = inputs[0]
        self.steps: list[Step] = []
        self.values: dict[fx.Node, str] = {}

    def refuse_unknown(self, layers: Iterable[str]) -> None:
        """Refuses modules that are no steps, all kinds of them at once."""
        unknown: dict[str, str] = {}
        for layer in layers:
            module = self.modules[layer]
            is_known = isinstance(module, (PixelInput, *NOTHING, *_WITH_NUMBERS))
            if not is_known and plain_module(module, layer) is None:
                unknown.setdefault(type(module).__name__, layer)
        if unknown:
            (kind, layer), *others = unknown.items()
            more = f", nor can {', '.join(other for other, _ in others)}" if others else ""
            raise UserError(f"layer {layer}: {kind} can't be exported{more}")

    def visit(self, node: fx.Node) -> None:
        """Adds what a node of the graph computes."""
        if node.op == "placeholder":
            self.values[node] = INPUT
        elif node.op == "call_module":
            self._module(node, self.modules[str(node.target)])
        elif node.op in ("call_function", "call_method"):
            self._function(node)
        elif node.op == "output":
            if not self.steps or self.values.get(node.args[0]) != self.steps[-1].output:  # type: ignore[arg-type]
                raise UserError("the network: its output must be the last thing it computes")
        else:
            raise UserError(f"the network: {node.op} {node.target} can't be exported")

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        layer, (source, *_) = str(node.target), node.args
        assert isinstance(source, fx.Node)
        if isinstance(module, (PixelInput, *NOTHING)):
            self.values[node] = self.values[source]
        elif isinstance(module, nn.Conv2d):
            self._convolution(node, module, layer, source)
        elif isinstance(module, nn.Linear):
            self._linear(node, module, layer, source)
        elif isinstance(module, _NORMS):
            factor, offset = _affine(module, layer)
            self._add(node, Affine, source, factor=factor, offset=offset)
        else:
            self._plain(node, plain_module(module, layer), source)

    def _function(self, node: fx.Node) -> None:
        if is_size(node):
            return
        plain = plain_function(node)
        joined = plain is not None and plain.kind is Concatenate
        given: Any = node.args[0] if joined else node.args
        sources = [argument for argument in given if isinstance(argument, fx.Node) and argument in self.values]
        if is_nothing(node) or (joined and len(sources) == 1):
            self.values[node] = self.values[sources[0]]
        elif plain is None or not sources:
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
            within = next(reversed(node.meta.get("nn_module_stack", {"": None})), "")
            raise UserError(f"{f'layer {within}' if within else 'the network'}: operation {name} can't be exported")
        else:
            self._plain(node, plain, *sources)

    def _plain(self, node: fx.Node, plain: Plain | None, *sources: fx.Node) -> None:
        assert plain is not None
        self._add(node, plain.kind, *sources, **plain.attributes)

    def _convolution(self, node: fx.Node, module: nn.Conv2d, layer: str, source: fx.Node) -> None:
        if module.padding_mode != "zeros" or isinstance(module.padding, str):
            raise UserError(f"layer {layer}: only zero padding by a number can be exported")
        weight, weight_scale = _weight(module, layer)
        value, act_scale, integer, zero_point = self._input(module, layer, source, weight)
        self.values[node] = node.name
        self.steps.append(
            Convolution(
                node.name,
                (value,),
                weight,
                _pair(module.stride),
                _pair(module.padding),
                _pair(module.dilation),
                module.groups,
                _levels(module),
                layer,
                integer,
                zero_point,
                _product(act_scale, weight_scale),
                _array(module.bias),
            )
        )

    def _linear(self, node: fx.Node, module: nn.Linear, layer: str, source: fx.Node) -> None:
        weight, weight_scale = _weight(module, layer)
        value, act_scale, _, _ = self._input(module, layer, source, weight)
        scale, bias = _product(act_scale, weight_scale), _array(module.bias)
        self.values[node] = node.name
        self.steps.append(Linear(node.name, (value,), weight, layer, scale, bias, _levels(module)))

    def _input(
        self, module: nn.Conv2d | nn.Linear, layer: str, source: fx.Node, weight: Codes | Floats
    ) -> tuple[str, float | None, bool, int]:
        """What a layer reads: name, scale, whether it is integers, and their zero point."""
        quantizer = module.act_quantizer if isinstance(module, QuantLayer) else FloatPassthrough()
        in_pixels = isinstance(quantizer, InputCodes) and self.pixels.multiplier == 1
        if in_pixels and self.values[source] == INPUT and weight.dtype == np.int8:
            return INPUT, _float32(self.pixels.step), True, int(self.pixels.offset)
        if isinstance(quantizer, ActivationQuantizer):
            if quantizer.unit > (MAX_WEIGHT_CODE if quantizer.signed else MAX_ACT_CODE):
                raise UserError(
                    f"layer {layer}: activation codes up to {quantizer.unit} don't fit into 8 bits "
                    f"({quantizer.bit} bits, {quantizer.levels.scheme}); APoT does up to 5 bits, uniform up to 8"
                )
            name = f"{source.name}_codes_{layer.replace('.', '_')}"
            alpha = float(quantizer.alpha)
            levels = quantizer.levels
            factor = float(np.float32(2 * quantizer.unit / alpha))
            numbers = factor, quantizer.unit, levels.half_grid(), levels, layer, quantizer.signed
            self.steps.append(Quantize(name, (self._float(source),), *numbers))
            return name, alpha / quantizer.unit, weight.dtype == np.int8, 0
        return self._float(source), None, False, 0

    def _float(self, source: fx.Node) -> str:
        """Name of a value as floats; pixels are normalised where they are needed so."""
        if self.values[source] != INPUT:
            return self.values[source]
        if not any(isinstance(step, Normalize) for step in self.steps):
            offset, scale = self.pixels.offset / self.pixels.multiplier, _float32(1 / (255 * self.pixels.std))
            multiplier = None if self.pixels.step is None else self.pixels.multiplier
            self.steps.append(Normalize("normalized", (INPUT,), offset, scale, multiplier))
        return "normalized"

    def _add(self, node: fx.Node, kind: Callable[..., Step], *sources: Any, **attributes: Any) -> None:
        self.steps.append(kind(node.name, tuple(self._float(source) for source in sources), **attributes))
        self.values[node] = node.name


@torch.no_grad()
def _weight(module: nn.Conv2d | nn.Linear, layer: str) -> tuple[Codes | Floats, float | Reals | None]:
    """Codes and scale of a layer's weights, of all or of each output, or the float weights themselves and None."""
    if not isinstance(module, QuantLayer) or isinstance(module.weight_quantizer, FloatPassthrough):
        return module.weight.detach().float().cpu().numpy(), None
    codes = module.weight_quantizer(module.weight)
    values = codes.values.detach().cpu().numpy()
    largest = float(np.abs(values).max(initial=0))
    if not np.array_equal(values, np.rint(values)) or largest > MAX_WEIGHT_CODE:
        raise UserError(f"layer {layer}: weight codes up to {largest:g} don't fit into 8 bits; APoT does up to 6 bits")
    scale = torch.as_tensor(codes.scale, dtype=torch.float64).cpu().numpy().reshape(-1)
    return values.astype(np.int8), float(scale[0]) if scale.size == 1 else scale


def _levels(module: nn.Module) -> LevelSet | None:
    quantizer = getattr(module, "weight_quantizer", None)
    return quantizer.levels if isinstance(quantizer, WeightQuantizer) else None


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d, layer: str) -> tuple[Floats, Floats]:
    """Factor and offset of a batch norm with its running statistics, as torch computes them, in float32."""
    if norm.running_mean is None or norm.running_var is None:
        raise UserError(f"layer {layer}: a batch norm without running statistics can't be exported")
    weight, bias = _array(norm.weight), _array(norm.bias)
    factor = 1 / np.sqrt(_array(norm.running_var) + np.float32(norm.eps), dtype=np.float32)
    factor = factor if weight is None else factor * weight
    offset = (0 if bias is None else bias) - _array(norm.running_mean) * factor
    return factor.astype(np.float32), np.asarray(offset, dtype=np.float32)


def _float32(value: float | None) -> float:
    return float(np.float32(value))


def _array(tensor: torch.Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().float().cpu().numpy()


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _product(*scales: float | Reals | None) -> float | Reals | None:
    product: float | Reals | None = None
    for scale in scales:
        product = scale if product is None else product if scale is None else product * scale
    return product
