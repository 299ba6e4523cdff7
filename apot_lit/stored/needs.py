"""Packages that a format needs beyond those of a training."""

from importlib.util import find_spec

from apot_lit.errors import UserError

_PACKAGES = {
    "onnx": ("onnx", "onnxruntime"),
    "packed": ("safetensors",),
    "web": ("wasmtime",),
    "c": (),
    "microcontroller": (),
}


def require_packages(kind: str, what: str) -> None:
    """Checks that a format's packages are installed.

    Args:
        kind: the format: onnx, packed, web, c or microcontroller.
        what: the option that asks for it, for the message.

    Raises:
        UserError: if one is missing.
    """
    missing = [package for package in _PACKAGES[kind] if find_spec(package) is None]
    if missing:
        raise UserError(f"{what}: needs {', '.join(missing)}; install apot-lit[{'web' if kind == 'web' else 'export'}]")
