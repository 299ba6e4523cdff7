"""A checksum over everything that an ONNX model says, kept among its metadata."""

import json
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import helper

from apot_lit.runs.checksum import checksum

CHECKSUM = "checksum"


def seal(model: onnx.ModelProto, metadata: Mapping[str, Any]) -> None:
    """Adds metadata and checksum to a model, and checks it as ONNX does, shapes included."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    helper.set_model_props(model, texts)
    add_checksum(model)
    onnx.checker.check_model(model, full_check=True)


def add_checksum(model: Any) -> None:
    """Writes a model's checksum into its metadata, as the last thing that is done to it.

    Args:
        model: an ``onnx.ModelProto`` without checksum.
    """
    model.metadata_props.add(key=CHECKSUM, value=_checksum(model))


def check_checksum(model: Any) -> None:
    """Compares a model with its checksum; one without it passes.

    Args:
        model: an ``onnx.ModelProto``.

    Raises:
        ValueError: if the model was changed; one line.
    """
    stored = [entry.value for entry in model.metadata_props if entry.key == CHECKSUM]
    if stored and stored != [_checksum(model)]:
        raise ValueError("does not fit its checksum")


def _checksum(model: Any) -> str:
    """Over names and values of all fields: the same bytes are not promised to whoever writes a message again."""
    content = _plain(model)
    metadata = [entry for entry in content.pop("metadata_props", []) if entry.get("key") != CHECKSUM]
    return checksum([content, metadata])


def _plain(value: Any) -> Any:
    """A protobuf message as plain containers of what is set in it."""
    if hasattr(value, "ListFields"):
        return {field.name: _plain(item) for field, item in value.ListFields()}
    return value if isinstance(value, str | bytes | int | float) else [_plain(item) for item in value]
