"""The exceptions for mistakes of the user, and what they say about a wrong name."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake of the user, told in one line."""


class Interrupted(Exception):
    """Training was stopped by the user; the argument is the last checkpoint's path, or None if there is none yet."""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Says that a key is unknown, which are known beside it, and which of them was meant."""
    section, _, name = key.rpartition(".")
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{key}: unknown key{hint}; {section or 'the configuration'} has {', '.join(known)}"
