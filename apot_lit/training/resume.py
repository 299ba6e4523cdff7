"""Going on with a run: with the options it was trained with, in the directory where it lies now."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from apot_lit.config.overrides import override
from apot_lit.errors import UserError
from apot_lit.installed import train_command
from apot_lit.runs.checkpoint import checkpoint_config, load_checkpoint
from apot_lit.runs.protocol import NEUTRAL, OWN_CALLBACKS, callbacks_of, is_neutral_callback, protocol
from apot_lit.stored.container import is_packed
from apot_lit.training.optimizers import SCHEDULERS_BY_STEP

_SECTIONS = ("model", "quant", "data", "optimizer", "scheduler", "trainer")
_TOP_LEVEL = ("seed", "init_from", "distill_from", "distill_weight", "distill_temperature", "label_smoothing")
# What the choice of a group says even where it is the default.
_CHOICES = {
    "model": ("model.name",),
    "optimizer": ("optimizer.name",),
    "scheduler": ("scheduler.name",),
    "quant": ("quant.power", "quant.additive"),
    "data": ("data.name", "data.source"),
}
_ANYWHERE = ("paths", "sweep", "ckpt_path", "test")  # of this call, not of the run


def resumed(config: Mapping[str, Any], defaults: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The configuration of a run to go on with: that of its checkpoint, with what may be changed on the way.

    Options that can't change how the run ends (threads, loggers, where data lies) may be given anew, and more epochs
    where the learning rate does not depend on their number.

    Args:
        config: plain configuration of this call, with ``ckpt_path``.
        defaults: the same without any override.
        overrides: those of this call.

    Raises:
        UserError: for a checkpoint that can't be read, and for an option that would make the run end elsewhere.
    """
    where = f"ckpt_path={config['ckpt_path']}"
    if is_packed(config["ckpt_path"]):
        raise UserError(f"{where}: is a packed file, which holds no state of a training; init_from starts a new one")
    before = checkpoint_config(load_checkpoint(config["ckpt_path"]))
    given = [one.lstrip("+~").partition("=")[0].partition("@")[0] for one in overrides]
    merged = {**deepcopy(dict(config)), **_relocated(before, config["paths"]["output_dir"])}
    merged |= {key: deepcopy(config[key]) for key in _ANYWHERE}
    now, usual, then = dict(_flat(config)), dict(_flat(defaults)), dict(_flat(before))
    explicit = {*given, *(key for group in given for key in _CHOICES.get(group, ()))}
    # Where the data lies is of this machine, unless this call means that of another set.
    same_data = now.get("data.source") == then.get("data.source", usual.get("data.source"))
    of_others = ("optimizer.", "scheduler.", *(("model.",) if "library" in before["model"] else ()))
    for key in sorted({*now, *usual}):
        foreign = key not in then and key.startswith(of_others)  # an option of another one
        value, was = now.get(key), then.get(key, None if foreign else usual.get(key))
        chosen = key in explicit or value != usual.get(key)
        if key not in NEUTRAL and chosen and value != was:
            _check_change(key, was, before, where)
        of_machine = key in ("data.data_dir", "data.download") and same_data
        anew = chosen or of_machine
        if not foreign:
            _put(merged, key, value if anew else was)
    if any(key.startswith(("callbacks", "experiment")) for key in given):
        _check_callbacks(before, config, where)
    merged["callbacks"] = _callbacks(merged, config)
    if any(key.startswith("logger") for key in given):
        merged["logger"] = deepcopy(config["logger"])
    return merged


def _check_change(key: str, was: Any, before: Mapping[str, Any], where: str) -> None:
    """Refuses another value of an option, unless it is the number of epochs and nothing depends on it."""
    depends = ""
    if key == "trainer.max_epochs":
        if before["scheduler"]["name"] not in SCHEDULERS_BY_STEP:
            return
        depends = f", which scheduler={before['scheduler']['name']} depends on"
    raise UserError(f"{where}: was trained with {key}={was}{depends}, to resume it give the same")


def _check_callbacks(before: Mapping[str, Any], config: Mapping[str, Any], where: str) -> None:
    then, now = _by_callbacks(before), _by_callbacks(config)
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            name = key.removesuffix("._target_")
            had = f"with {name}={then[key]}" if key in then else f"without {name}"
            raise UserError(f"{where}: was trained {had}, to resume it give the same")


def _by_callbacks(config: Mapping[str, Any]) -> dict[str, str]:
    """What callbacks have to do with how a run ends: ours, and what the best checkpoint is best in.

    A user's own callbacks may come and go.
    """
    ours: list[str] = []
    monitored: dict[str, str] = {}
    for name, options in callbacks_of(config).items():
        if options["_target_"].startswith(OWN_CALLBACKS):
            ours.append(f"callbacks.{name}.")
        elif options["_target_"].endswith(".ModelCheckpoint") and options.get("monitor"):
            monitored |= {f"callbacks.{name}.{key}": str(options.get(key, "min")) for key in ("monitor", "mode")}
    differences = {key: value for key, value in protocol(config) if key.startswith(tuple(ours))} if ours else {}
    return {**differences, **monitored}


def how_to_go_on(last_checkpoint: Path | None, complete: bool = False) -> str:
    """Tells in one line what an interruption left, and the command that goes on from there.

    Args:
        last_checkpoint: what to go on from, None if there is nothing yet.
        complete: whether the training was over, and only its evaluation was stopped.
    """
    if last_checkpoint is None:
        return "interrupted before the first checkpoint was written; nothing to resume from"
    what = "the training is complete; to evaluate it" if complete else "to go on from here"
    command = [*train_command(), override("ckpt_path", last_checkpoint)]
    return f"interrupted; {what}: {shlex.join(command)}"


def _callbacks(merged: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the run; of those that don't matter to how it ends, the ones of this call."""
    then, now = callbacks_of(merged), callbacks_of(config)
    kept = {name: options for name, options in then.items() if not is_neutral_callback(options["_target_"])}
    best = {name for name, options in then.items() if options.get("monitor")}
    kept |= {name: options for name, options in then.items() if name in best}
    neutral = {name: options for name, options in now.items() if name not in kept}
    return {name: {**kept, **neutral}[name] for name in [*then, *now] if name in kept or name in neutral}


def _relocated(before: Mapping[str, Any], output_dir: str) -> dict[str, Any]:
    """A configuration with its own directory, as it was, replaced by where it lies now."""
    old = str(before.get("paths", {}).get("output_dir", output_dir))

    def visit(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: visit(item) for key, item in value.items()}
        if isinstance(value, list):
            return [visit(item) for item in value]
        inside = isinstance(value, str) and (value == old or value.startswith(f"{old}/"))
        return output_dir + value.removeprefix(old) if inside else value

    return {key: visit(value) for key, value in before.items()}


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section in _SECTIONS:
        for key, value in config.get(section, {}).items():
            yield f"{section}.{key}", list(value) if isinstance(value, tuple) else value
    for key in _TOP_LEVEL:
        if key in config:
            yield key, config[key]


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    (config[section] if section else config)[name] = value
