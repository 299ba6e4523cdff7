"""Values on Hydra's command line."""

import re

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.-]*/[A-Za-z0-9_./-]*")
_INTERPOLATION = re.compile(r"(\\*)\$\{")


def override(key: str, value: object) -> str:
    """``key='value'`` for Hydra, whatever characters the value has; a plain path needs no quotes.

    Hydra's grammar gives meaning to ``= , ( ) { } [ ] '`` and to white space, and takes few letters beyond ASCII unless
    a value is quoted. Within quotes, a quote and the backslashes before it are escaped, and so is the beginning of an
    interpolation.

    Examples:
        >>> override("hydra.run.dir", "/tmp/run_1")
        'hydra.run.dir=/tmp/run_1'
        >>> override("hydra.run.dir", "/tmp/lr=0.1, (b)")
        "hydra.run.dir='/tmp/lr=0.1, (b)'"
    """
    if _PLAIN_PATH.fullmatch(str(value)):
        return f"{key}={value}"
    text = ""
    for character in str(value):
        if character == "'":
            backslashes = len(text) - len(text.rstrip("\\"))
            text += "\\" * (backslashes + 1)
        text += character
    trailing = len(text) - len(text.rstrip("\\"))
    quoted = text + "\\" * trailing
    return f"{key}='" + _INTERPOLATION.sub(r"\1\1\\${", quoted) + "'"
