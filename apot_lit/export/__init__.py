"""Trained networks as real integers: ONNX, packed weights, C source; what they cost; proof that they are the same."""
