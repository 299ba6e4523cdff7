"""Trained networks as real integers: ONNX, packed weights, C source; proof that they are the same."""
