"""One process at a time in a directory, alone or in turn."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from apot_lit.errors import UserError


class Taken(UserError):
    """Another process holds the lock."""


@contextmanager
def exclusive(directory: Path, name: str, message: str) -> Iterator[IO[str]]:
    """Holds a lock on a directory, which is made if it is not there; the system frees it when the process ends.

    Args:
        directory: what to lock.
        name: of the lock's file in it.
        message: what to say if another process holds the lock.

    Raises:
        Taken: if another process holds the lock.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Taken(message) from error
        yield file


@contextmanager
def in_turn(directory: Path, name: str) -> Iterator[None]:
    """Holds a lock on a directory, which is made if it is not there, as soon as no other process holds it.

    Args:
        directory: what to lock.
        name: of the lock's file in it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
