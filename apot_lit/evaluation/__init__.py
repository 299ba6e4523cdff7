"""Evaluation of a trained network, and what it costs."""
