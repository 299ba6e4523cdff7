"""What is wrong with a configuration, in one line: what, where, and what is allowed."""

import re
import shlex
from collections.abc import Sequence

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from apot_lit.config.choices import choices
from apot_lit.config.overrides import override
from apot_lit.errors import UserError, unknown_key
from apot_lit.installed import CONF

_OPTIONAL_SECTIONS = ("sweep", "model")  # null until something is chosen for them
_NO_GROUP = re.compile(r"Could not override '(\w+)'\. No match in the defaults list")
_ONE_OF = ("model", "quant", "data", "optimizer", "scheduler", "trainer")


def explain(error: Exception) -> str:
    """Says in one line what is wrong, where, and what is allowed."""
    if isinstance(error, MissingConfigException):
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        if group:
            names = choices(group, error.options or _files(group), parts=group == "callbacks")
            return f"{group}={name}: there is no such {group.removesuffix('s')}; choose from {', '.join(names)}"
    if isinstance(error, OverrideParseException):
        return _not_parsed(error.override)
    unknown = _NO_GROUP.match(str(error))
    if unknown is not None:
        return f"{unknown[1]}=...: is no choice of this script; --help shows its options"
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: a value is needed; add {cause.full_key}=..."
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
        return unknown_key(str(cause.full_key or cause.key), map(str, cause.parent_node))
    message = " ".join(str(cause).replace("full_key:", "at").split())
    if isinstance(cause, ValidationError) and cause.full_key:
        return f"{cause.full_key}: {str(cause).partition(chr(10))[0]}"
    return message


def _not_parsed(given: str) -> str:
    """What to say of an option that Hydra's grammar does not take."""
    key, equals, value = given.partition("=")
    if not equals:
        return f"{given}: options are given as key=value"
    quoted = override(key, value)
    shell = shlex.quote(quoted) if set(quoted) & set('"$`\\!') else f'"{quoted}"'
    return f"{given}: can't be parsed; a value with such characters is quoted twice, {shell}"


def refuse_several_choices(given: str) -> None:
    """Refuses a list where one choice is made: Hydra would take the last one without a word."""
    key, _, value = given.partition("=")
    if key in _ONE_OF and value.startswith("["):
        raise UserError(f"{given}: is one choice, not a list; several are trained by -m {key}=a,b")


def _files(group: str) -> list[str]:
    """What our own files offer: Hydra has no options where several can be chosen at once."""
    return [file.stem for file in (CONF / group).glob("*.yaml")]


def null_choice(error: Exception, arguments: Sequence[str]) -> str | None:
    """What to say of a group of choices that is given as null, which Hydra does not expect."""
    given = [one for one in arguments if one.partition("=")[2] == "null"]
    if not given or "group override must be" not in str(error):
        return None
    return f"{given[0]}: must be a choice; there is no null among them"


def missing_choice(error: AssertionError, arguments: Sequence[str]) -> str | None:
    """What to say of an option below a section that nothing was chosen for: OmegaConf only asserts that it is there."""
    below = [override for override in arguments if override.partition(".")[0] in _OPTIONAL_SECTIONS]
    if not below or "type for root" not in str(error):
        return None
    section = below[0].partition(".")[0]
    return f"{below[0]}: needs a {section} to be chosen first, by {section}=..."
