"""The exceptions for mistakes of the user, and what they say about a wrong name."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher, get_close_matches


class UserError(Exception):
    """A mistake of the user, told in one line."""


class Interrupted(Exception):
    """A run was stopped by the user; says in one line what was kept and how to go on."""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Says that a key is unknown, which are known beside it, and which of them was meant."""
    section, _, name = key.rpartition(".")
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{key}: unknown key{hint}; {section or 'the configuration'} has {', '.join(known)}"


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names that are most like one, the most alike first."""
    return sorted(known, key=lambda one: -SequenceMatcher(None, name, one).ratio())[:count]


@contextmanager
def user_values(section: str) -> Iterator[None]:
    """Turns a ValueError that begins with a name into a UserError that begins with its key."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{section}.{error}") from error
