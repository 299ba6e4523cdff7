"""Values on Hydra's command line."""

import re

_INTERPOLATION = re.compile(r"(\\*)\$\{")


def override(key: str, value: object) -> str:
    """``key='value'`` for Hydra, whatever characters the value has.

    Hydra's grammar gives meaning to ``= , ( ) { } [ ] '`` and to white space, and takes few letters beyond ASCII unless
    a value is quoted. Within quotes, a quote and the backslashes before it are escaped, and so is the beginning of an
    interpolation.

    Examples:
        >>> override("hydra.run.dir", "/tmp/lr=0.1, (b)")
        "hydra.run.dir='/tmp/lr=0.1, (b)'"
    """
    text = ""
    for character in str(value):
        if character == "'":
            backslashes = len(text) - len(text.rstrip("\\"))
            text += "\\" * (backslashes + 1)
        text += character
    trailing = len(text) - len(text.rstrip("\\"))
    quoted = text + "\\" * trailing
    return f"{key}='" + _INTERPOLATION.sub(r"\1\1\\${", quoted) + "'"
