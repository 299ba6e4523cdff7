"""The log of a script: what a person saw, line by line with the time, and before it what was asked for."""

import io
import logging
import os
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apot_lit.errors import Interrupted, UserError
from apot_lit.runs.provenance import versions

RUN_LOG = "train.log"
TIME_WIDTH = len("2026-01-31 12:00:00 ")
"""What stands before every line of a log."""


@contextmanager
def recording(path: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Writes what is printed within the block to a file as well, and warnings in one line each.

    Of a progress bar the file gets the last state. An exception that ends the block is written down as well. The file
    is appended to: a resumed run goes on with its log.

    Args:
        path: the file; its directory is made.
        config: what was asked for; written first, with command and versions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="replace") as file:

        def write(line: str) -> None:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n" if line else "\n")
            file.flush()

        write(f"command: {shlex.join([Path(sys.executable).name, *sys.argv])}, in {os.getcwd()}")
        write("versions: " + ", ".join(f"{name} {number}" for name, number in versions().items()))
        for key, value in _flat(config):
            write(f"    {key}={value}")
        streams = (_Tee("stdout", write), _Tee("stderr", write))
        handler = _Handler(write)
        in_lines = warnings.formatwarning
        sys.stdout, sys.stderr = streams
        warnings.formatwarning = _in_one_line
        logging.getLogger().addHandler(handler)
        try:
            yield
        except BaseException as error:
            for line in _told(error).rstrip().splitlines():
                write(line)
            raise
        finally:
            logging.getLogger().removeHandler(handler)
            warnings.formatwarning = in_lines
            for stream in streams:
                stream.end()


class _Tee(io.TextIOBase):
    """A standard stream whose finished lines go to a log as well; afterwards what it stood for."""

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        self.name, self._log, self._line = name, write, ""
        self._stream = getattr(sys, name)
        self._open = True

    def write(self, text: str) -> int:
        """Writes to the stream; a carriage return lets the line begin anew."""
        if not self._open:  # whoever kept this object writes to what took its place
            return int(getattr(sys, self.name).write(text))
        self._stream.write(text)
        *lines, rest = (self._line + text).split("\n")
        for line in lines:
            self._log(line.rstrip().rpartition("\r")[2])
        self._line = rest.rpartition("\r")[2] if rest.strip("\r") else rest
        return len(text)

    def flush(self) -> None:
        """Flushes the stream."""
        (self._stream if self._open else getattr(sys, self.name)).flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        """The stream's own."""
        return int(self._stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's own."""
        return str(self._stream.encoding)

    def end(self) -> None:
        """Gives the stream back."""
        if self._line.strip():
            self._log(self._line.strip())
        self._open = False
        setattr(sys, self.name, self._stream)


class _Handler(logging.Handler):
    """Writes the messages of packages that log, which the console shows by a way of its own."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one message."""
        self._write(f"{record.name}: {record.getMessage()}")


def _told(error: BaseException) -> str:
    """What a person is told of it, or all of it if it is a fault of the program."""
    if isinstance(error, UserError | Interrupted):
        return f"error: {error}"
    return "error: interrupted" if isinstance(error, KeyboardInterrupt) else "".join(traceback.format_exception(error))


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "null" if value is None else value


def _in_one_line(message: Warning | str, *_: Any, **__: Any) -> str:
    return f"warning: {' '.join(str(message).split())}\n"
