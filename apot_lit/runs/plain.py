"""Descriptions of plain containers and of tensors, as files that are read without running code may hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.runs.schema import Integer, Misfit, Schema, Text, below, refuse

_MAX_DEPTH = 40
_MAX_NODES = 1_000_000  # counted with repetitions: few lists that hold each other twice would make many
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_USUAL = ("layout", torch.strided), ("is_meta", False), ("is_quantized", False), ("is_nested", False)


@dataclass(frozen=True)
class Dense(Schema):
    """A tensor of numbers or truth values whose elements all lie in memory or in the file, each at its own place.

    Of floating-point numbers or integers alone if `numeric`.
    """

    numeric: bool = True

    def _check(self, value: Any, place: str) -> None:
        if type(value) not in (Tensor, nn.Parameter):
            refuse(value, place, "a tensor")
        if any(getattr(value, name) != usual for name, usual in _USUAL):
            raise Misfit(f"{place}: must be a dense tensor with its elements")
        if value.dtype not in (*_FLOATS, *_INTEGERS) and (self.numeric or value.dtype != torch.bool):
            raise Misfit(f"{place}: must be a tensor of floating-point numbers or integers, is one of {value.dtype}")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise Misfit(f"{place}: has more elements, {list(value.shape)}, than the file holds")


@dataclass(frozen=True)
class Plain(Schema):
    """Mappings, lists, texts, finite or infinite numbers, truth values and null, and dense tensors if `tensors`."""

    tensors: bool = False

    def _check(self, value: Any, place: str) -> None:
        nodes = 0
        open_ = [(value, place, 0)]
        while open_:
            value, place, depth = open_.pop()
            nodes += 1
            if depth > _MAX_DEPTH or nodes > _MAX_NODES:
                raise Misfit(f"{place}: is nested too deeply, or too large")
            if isinstance(value, Mapping):
                for key in value:
                    if not isinstance(key, str | int):
                        refuse(key, place, "a mapping with texts or integers as keys")
                    self._check_leaf(key, place)
                open_ += [(item, below(place, key), depth + 1) for key, item in value.items()]
            elif isinstance(value, list | tuple):
                open_ += [(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
            else:
                self._check_leaf(value, place)

    def _check_leaf(self, value: Any, place: str) -> None:
        if isinstance(value, Tensor) and self.tensors:
            Dense(numeric=False)._check(value, place)
        elif isinstance(value, str):
            Text()._check(value, place)
        elif isinstance(value, int):
            Integer()._check(int(value), place)
        elif value is not None and not isinstance(value, float):
            refuse(value, place, "plain data")
