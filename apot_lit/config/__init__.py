"""Typed configuration; with the scripts the only place that knows Hydra."""
