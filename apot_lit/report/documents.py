"""The generated parts of documents, between ``<!-- name:begin -->`` and ``<!-- name:end -->``.

Both stand on lines of their own, or within one line, such as in a cell of a table.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from apot_lit.errors import UserError

_BEGIN = re.compile(r"<!-- (\w+):begin -->")


def section(content: str, name: str) -> str | None:
    """What stands between the two marks of a name, None unless each is there once, in this order."""
    begin, end = _markers(name)
    if content.count(begin) != 1 or content.count(end) != 1:
        return None
    between, found, _ = content.partition(begin)[2].partition(end)
    return between.strip() if found else None


def filled(document: Path, texts: Mapping[str, str]) -> str:
    """The content of a document with all its sections made anew.

    Args:
        document: the file.
        texts: the text of every section there can be, by name.

    Raises:
        UserError: if there is no such file, it has no section, or one that is unknown or not closed.
    """
    where = f"documents: {document}"
    if not document.is_file():
        raise UserError(f"{where}: there is no such file")
    content = document.read_text()
    names = _BEGIN.findall(content)
    if not names:
        raise UserError(f"{where}: has no section to fill, such as {' ... '.join(_markers(next(iter(texts))))}")
    for name in names:
        if section(content, name) is None:
            raise UserError(f"{where}: must have {' and '.join(_markers(name))} once each, in this order")
        if name not in texts:
            raise UserError(f"{where}: there is nothing to fill section {name} with; there is {', '.join(texts)}")
        begin, end = _markers(name)
        before, _, rest = content.partition(begin)
        edge = "\n" if rest.startswith("\n") else " "
        content = f"{before}{begin}{edge}{texts[name]}{edge}{end}{rest.partition(end)[2]}"
    return content


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
