"""What a search does, checked before its first trial: its space, its cost, and the configuration of every trial."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from apot_lit.config.devices import refuse_several_devices
from apot_lit.errors import UserError
from apot_lit.models.build import fresh_network
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.runs.protocol import protocol, row
from apot_lit.search.layer_groups import layer_groups
from apot_lit.search.space import Space, bits_of, extremes, options_of, read_options
from apot_lit.search.trial_cost import CostOf, cost_of

Compose = Callable[[Mapping[str, Any]], dict[str, Any]]
"""From values of options to the configuration of a run that differs in them from what was asked for."""

_OWN = ("cost", "margin", "sampler", "seed")


class Plan:
    """A search before it begins.

    Args:
        settings: the section ``search``, see `apot_lit.config.search_options.SearchOptions`.
        directory: where everything is written.
        compose: see `Compose`.

    Attributes:
        space: what a trial chooses from.
        cost: from the configuration of a run to its cost.

    Raises:
        UserError: for whatever can't work in any trial.
    """

    def __init__(self, settings: Mapping[str, Any], directory: Path, compose: Compose) -> None:
        self.settings, self.directory, self._compose = settings, directory, compose
        self._base = self.config({}, directory)
        if self._base["data"]["val_split"] == 0:
            raise UserError("data.val_split=0: a search needs validation images")
        if self._base["trainer"]["fast_dev_run"]:
            raise UserError("trainer.fast_dev_run: a search needs results, which such runs do not have")
        bits, options = settings["bits"], read_options(settings["space"])
        if not bits and not options:
            raise UserError("search.bits=[]: with an empty search.space there is nothing to search")
        if bits and self._base["quant"]["bit"] == FULL_PRECISION:
            raise UserError(f"quant.bit={FULL_PRECISION}: nothing is quantised; give search.bits=[]")
        groups = layer_groups(fresh_network(self._base), settings["groups"]) if bits else []
        self.space = Space(tuple(groups), tuple(sorted(bits)), options)
        self.cost: CostOf = cost_of(settings["cost"], settings["prices"])
        self._check()

    def config(self, params: Mapping[str, Any], directory: Path) -> dict[str, Any]:
        """The configuration of a run with the parameters of a trial; it never looks at the test images."""
        values = {**options_of(params), "test": False, "paths.output_dir": str(directory)}
        bits = bits_of(params)
        if bits:
            given = self._base["quant"]["overrides"]  # a pattern that is searched comes last, and wins
            others = {pattern: options for pattern, options in given.items() if pattern not in bits}
            values["quant.overrides"] = others | {key: {**given.get(key, {}), **bits[key]} for key in bits}
        config = self._compose(values)
        refuse_several_devices(config["trainer"], "a trial of a search")
        return config

    def identity(self) -> dict[str, Any]:
        """What two studies must have in common for their trials to be compared."""
        return {
            **{f"search.{key}": self.settings[key] for key in _OWN},
            **{f"search.{key}": value for key, value in self.space.to_dict().items()},
            **dict(zip(("model.name", "quant.bit", "levels"), row(self._base), strict=True)),
            "seed": self._base["seed"],
            **dict(protocol(self._base)),
        }

    def _check(self) -> None:
        """Composes and prices every width, every value and both ends of every interval, each by itself."""
        uniform = self.space.uniform()
        for params in uniform:
            self.cost(self.config(params, self.directory))
        for name in self.space.options:
            if isinstance(_found(self._base, name), dict):
                raise UserError(f"search.space.{name}: is a section; search options of it")
        for name, value in extremes(self.space.options):
            try:
                self.cost(self.config({**(uniform[0] if uniform else {}), name: value}, self.directory))
            except UserError as error:
                raise UserError(f"search.space: {error}") from error


def _found(config: Any, name: str) -> Any:
    """The value of an option, None where there is none."""
    for part in name.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config
