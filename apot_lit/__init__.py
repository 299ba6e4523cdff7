"""Training and evaluating neural networks quantised to sums of powers of two (APoT)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apot_lit.integer.conversion import to_integers
    from apot_lit.quant import QuantSpec, dequantize_model, quantize_model
    from apot_lit.runtime.compiled import Network
    from apot_lit.stored.packed import load_packed
    from apot_lit.stored.trained import read_any_trained
    from apot_lit.training.classifier import QuantClassifier

__version__ = "0.1.0"

__all__ = [
    "Network",
    "QuantClassifier",
    "QuantSpec",
    "dequantize_model",
    "load_packed",
    "quantize_model",
    "read_any_trained",
    "to_integers",
]

_MODULES = {
    "integer.conversion": ("to_integers",),
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
