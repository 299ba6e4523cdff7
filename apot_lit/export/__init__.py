"""Trained networks as real integers: ONNX, packed weights, C source; proof that they are the same."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apot_lit.export.any_network import Exported, export_network

__all__ = ["Exported", "export_network"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, so that a single format does not wait for all of them."""
    if name in __all__:
        from apot_lit.export import any_network

        return getattr(any_network, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
