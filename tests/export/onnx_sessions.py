"""ONNX models run as any user would, at each level of onnxruntime's graph optimisation."""

import onnxruntime

LEVELS = ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"]


def session(model, level="ORT_ENABLE_ALL", threads=1):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model, pixels, level="ORT_ENABLE_ALL", threads=1):
    (logits,) = session(model, level, threads).run(None, {"pixels": pixels})
    return logits
