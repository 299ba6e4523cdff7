"""Objects from configuration that names their class."""

import re
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from apot_lit.errors import UserError
from apot_lit.quant.ranges import OneOf, as_written

_PLAIN_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text"),
    Path: ((str,), "a path"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    NoneType: ((NoneType,), "null"),
}
"""Annotation -> the types that its values have in configuration, and what it is called."""


def build_all(targets: dict[str, Any], section: str) -> list[Any]:
    """Instantiates every ``_target_`` of a mapping.

    Args:
        targets: class and arguments by name.
        section: where the mapping stands in the configuration, such as ``callbacks``.

    Raises:
        UserError: for one that cannot be built, such as a logger whose package is not installed.
    """
    built = []
    for name, target in targets.items():
        key = f"{section}.{name}"
        try:
            check_types(key, _class_of(key, target["_target_"]), target)
            built.append(instantiate(target))
        except InstantiationException as error:
            reason = " ".join(str(error.__cause__ or error).split())
            argument = re.match(r"\w+(?==)", reason)
            if argument is not None and argument[0] in target:
                raise UserError(f"{key}.{reason}") from error
            raise UserError(f"{key}: cannot build {target['_target_']}: {reason}") from error
    return built


def check_types(key: str, function: Any, arguments: Mapping[str, Any]) -> None:
    """Refuses plain values of another type than a function or class says it takes: many fail only much later.

    Args:
        key: what the arguments stand below in the configuration.
        function: what takes them.
        arguments: by name; those without a type that can be judged are left alone.

    Raises:
        UserError: for the first such value.
    """
    try:
        hints = get_type_hints(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]
    except (NameError, TypeError):  # its types can't be read
        return
    for name, value in arguments.items():
        if not _fits(value, hint := hints.get(name, Any)):
            raise UserError(f"{key}.{name}={as_written(value)}: must be {_in_words(hint)}")


def _class_of(key: str, name: str) -> Any:
    try:
        return resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{key}._target_={name}: cannot be imported: {reason}") from error


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is Literal:
        return value in OneOf(get_args(hint))
    return hint not in _PLAIN_TYPES or type(value) in _PLAIN_TYPES[hint][0]


def _in_words(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_in_words, get_args(hint)))
    return str(OneOf(get_args(hint))) if get_origin(hint) is Literal else _PLAIN_TYPES[hint][1]
