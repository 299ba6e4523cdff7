"""What is searched: bit widths of groups of layers, and values of options."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from apot_lit.errors import UserError, unknown_key
from apot_lit.quant.ranges import as_written

BIT = "bit of "
"""What a parameter of a group of layers is called, before its pattern."""
_RANGE = ("low", "high", "log", "step")
_FIXED = ("test", "ckpt_path", "sweep", "search", "paths", "hydra", "callbacks", "logger")
_IMAGES = ("data.val_split", "data.split_seed", "data.name", "data.source", "data.data_dir", "data.test_split")


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`: integers where both are, by the logarithm with `log`, or in steps."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Space:
    """What a trial chooses.

    Attributes:
        groups: patterns of names of layers, each with a bit width of its own.
        bits: the widths that it may have.
        options: values of other options, or an interval of them, by name.
    """

    groups: tuple[str, ...]
    bits: tuple[int, ...]
    options: Mapping[str, Interval | tuple[Any, ...]]

    def suggest(self, trial: Any) -> dict[str, Any]:
        """The parameters of a trial.

        Args:
            trial: of Optuna, which chooses.
        """
        chosen: dict[str, Any] = {}
        for group in self.groups:
            chosen[f"{BIT}{group}"] = _suggest_bit(trial, f"{BIT}{group}", self.bits)
        for name, values in self.options.items():
            if not isinstance(values, Interval):
                chosen[name] = trial.suggest_categorical(name, values)
            elif isinstance(values.low, int) and isinstance(values.high, int):
                chosen[name] = trial.suggest_int(name, values.low, values.high, step=values.step or 1, log=values.log)
            else:
                chosen[name] = trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)
        return chosen

    def uniform(self) -> list[dict[str, Any]]:
        """The points at which all groups have one width, by which a search begins."""
        return [{f"{BIT}{group}": bit for group in self.groups} for bit in self.bits if self.groups]

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, by which two spaces are compared."""
        options = {
            name: vars(values) if isinstance(values, Interval) else list(values)
            for name, values in self.options.items()
        }
        return {"groups": list(self.groups), "bits": list(self.bits) if self.groups else [], "options": options}


def read_options(space: Mapping[str, Any]) -> dict[str, Interval | tuple[Any, ...]]:
    """Values or intervals of options, from the section ``search.space``.

    Raises:
        UserError: for what is neither, and for an option that must be the same in all trials.
    """
    return {str(name): _read(str(name), values) for name, values in space.items()}


def bits_of(params: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """The parameters of groups of layers as `quant.overrides` has them."""
    return {name.removeprefix(BIT): {"bit": value} for name, value in params.items() if name.startswith(BIT)}


def options_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The other parameters."""
    return {name: value for name, value in params.items() if not name.startswith(BIT)}


def extremes(options: Mapping[str, Interval | tuple[Any, ...]]) -> Iterator[tuple[str, Any]]:
    """Option and value, for every value and both ends of every interval."""
    for name, values in options.items():
        for value in (values.low, values.high) if isinstance(values, Interval) else values:
            yield name, value


def _suggest_bit(trial: Any, name: str, bits: Sequence[int]) -> int:
    """Widths in equal steps are numbers to the sampler, others names without an order."""
    ordered = sorted(bits)
    steps = {after - before for before, after in pairwise(ordered)}
    if len(steps) == 1:
        return int(trial.suggest_int(name, ordered[0], ordered[-1], step=steps.pop()))
    return int(trial.suggest_categorical(name, tuple(ordered)))


def _read(name: str, values: Any) -> Interval | tuple[Any, ...]:
    where = f"search.space.{name}"
    if name in _IMAGES or name.partition(".")[0] in _FIXED:
        raise UserError(f"{where}: must be the same in all trials, so that they can be compared")
    if name == "quant.overrides":
        raise UserError(f"{where}: bits of layers are searched by search.bits and search.groups")
    if isinstance(values, Mapping):
        return _interval(where, values)
    plain = isinstance(values, list) and all(isinstance(one, str | int | float | bool | None) for one in values)
    if not plain or not values or len({(type(one), one) for one in values}) < len(values):
        raise UserError(
            f"{where}={as_written(values)}: must be a list of different values, or {{low: ..., high: ...}}, "
            "perhaps with log: true or step: ..."
        )
    return tuple(values)


def _interval(where: str, values: Mapping[str, Any]) -> Interval:
    for key in values:
        if key not in _RANGE:
            raise UserError(unknown_key(f"{where}.{key}", _RANGE))
    for key in ("low", "high"):
        if not _is_number(values.get(key)):
            raise UserError(f"{where}.{key}={as_written(values.get(key))}: must be a number")
    low, high, log, step = values["low"], values["high"], values.get("log", False), values.get("step")
    if not low < high:
        raise UserError(f"{where}: low={low} must be less than high={high}")
    if not isinstance(log, bool):
        raise UserError(f"{where}.log={as_written(log)}: must be true or false")
    if step is not None and (not _is_number(step) or step <= 0 or log):
        raise UserError(f"{where}.step={as_written(step)}: must be a number above 0, and not with log: true")
    if log and low <= 0:
        raise UserError(f"{where}: low={low} must be above 0 with log: true")
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and step is not None and not isinstance(step, int):
        raise UserError(f"{where}.step={step}: must be an integer, as low and high are; or give them a decimal point")
    return Interval(low, high, log, step)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
