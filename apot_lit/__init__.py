"""Training and evaluating neural networks quantised to sums of powers of two (APoT)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apot_lit.data.embedded import load_digits
    from apot_lit.export.any_network import export_network
    from apot_lit.integer.conversion import to_integers
    from apot_lit.models.input import PixelInput
    from apot_lit.quant import QuantSpec, dequantize_model, quantize_model
    from apot_lit.runtime.compiled import Network
    from apot_lit.stored.packed import load_packed
    from apot_lit.stored.trained import read_any_trained
    from apot_lit.training.classifier import QuantClassifier

__version__ = "0.1.0"

__all__ = [
    "Network",
    "PixelInput",
    "QuantClassifier",
    "QuantSpec",
    "dequantize_model",
    "export_network",
    "load_digits",
    "load_packed",
    "quantize_model",
    "read_any_trained",
    "to_integers",
]

_MODULES = {
    "data.embedded": ("load_digits",),
    "export.any_network": ("export_network",),
    "integer.conversion": ("to_integers",),
    "models.input": ("PixelInput",),
    "quant": ("QuantSpec", "dequantize_model", "quantize_model"),
    "runtime.compiled": ("Network",),
    "stored.packed": ("load_packed",),
    "stored.trained": ("read_any_trained",),
    "training.classifier": ("QuantClassifier",),
}


def __getattr__(name: str) -> Any:
    """Imports a module when it is asked for: torch and Lightning take seconds to load."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
