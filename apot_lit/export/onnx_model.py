"""A network of integers as an ONNX model that standard engines run, with the same bits."""

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper

from apot_lit.export.onnx_checksum import seal
from apot_lit.export.onnx_forms import DOMAIN, functions
from apot_lit.export.onnx_writer import OUTPUT, Writer
from apot_lit.graph.steps import INPUT
from apot_lit.integer.network import (
    IntegerNetwork,
)

_OLDER, _NEWER = (21, 10), (25, 13)  # opset and format of the file; the newer ones know weights of 2 bits


def build_onnx(network: IntegerNetwork, metadata: Mapping[str, Any]) -> onnx.ModelProto:
    """Builds an ONNX model: uint8 pixels ``[N, C, H, W]`` in, int64 logits out.

    Weights are indices of levels in the smallest of 2, 4 and 8 bits that holds them. A step is a call of a function;
    see `apot_lit.export.onnx_forms`. The opset is 21, or 25 with weights of 2 bits.

    Args:
        network: what to write. Batch norms that are not folded into thresholds are faster.
        metadata: kept in the model, as JSON where it is not text, beside stream, fraction and scale of the logits; a
            checksum over the whole model is added.

    Raises:
        UserError: naming a layer with thresholds that no quantiser has.
    """
    writer = Writer(network)
    types = {tensor.data_type for tensor in writer.constants.values()}
    opset, ir_version = _NEWER if TensorProto.INT2 in types else _OLDER
    graph = helper.make_graph(
        writer.nodes,
        "apot_lit",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", *network.input_shape])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.INT64, ["N", None])],
        list(writer.constants.values()),
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)],
        ir_version=ir_version,
        producer_name="apot_lit",
        functions=functions({node.op_type for node in writer.nodes if node.domain == DOMAIN}, opset),
    )
    facts = {
        "stream_bit": network.stream_bit,
        "fraction": network.fraction,
        "logit_scale": network.logit_scale,
        **metadata,
    }
    seal(model, facts)
    return model
