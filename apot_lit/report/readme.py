"""The generated parts of a README, between lines ``<!-- name:begin -->`` and ``<!-- name:end -->``."""

from collections.abc import Mapping
from pathlib import Path

from apot_lit.errors import UserError


def section(content: str, name: str) -> str | None:
    """What stands between the two lines of a name, None unless each is there once, in this order."""
    begin, end = _markers(name)
    if content.count(begin) != 1 or content.count(end) != 1:
        return None
    between, found, _ = content.partition(begin)[2].partition(end)
    return between.strip() if found else None


def filled(readme: Path, needed: Mapping[str, str], others: Mapping[str, str]) -> str:
    """The content of a README with new sections.

    Args:
        readme: the file.
        needed: text by the name of a section that must be there.
        others: text by the name of a section that is left out where it is not there.

    Raises:
        UserError: if there is no such file, or it lacks a needed section.
    """
    if not readme.is_file():
        raise UserError(f"readme={readme}: there is no such file")
    content = readme.read_text()
    for name in needed:
        if section(content, name) is None:
            raise UserError(f"readme={readme}: must have the lines {' and '.join(_markers(name))} once each")
    for name, text in {**others, **needed}.items():
        if section(content, name) is not None:
            begin, end = _markers(name)
            before, _, rest = content.partition(begin)
            content = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
    return content


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
