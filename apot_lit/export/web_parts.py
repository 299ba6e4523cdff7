"""What a page holds beside its text: bytes, compressed, in elements with a name; and a checksum at its end."""

import base64
import binascii
import hashlib
import re
import zlib
from itertools import takewhile
from pathlib import Path

from apot_lit.errors import UserError
from apot_lit.export.web_module import Modules

SIMD, PLAIN, REST, DIGITS = "simd", "plain", "rest", "digits"
"""Names of the elements: the two modules but for what both end with, what both end with, and pixels of digits."""

_SUM = "<!-- SHA-256 of all before: "


def parts_of(modules: Modules) -> dict[str, bytes]:
    """Modules as parts; what both end with, which is the network's data, is stored once."""
    backwards = zip(reversed(modules.simd), reversed(modules.plain), strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], backwards))
    simd, plain = (module[: len(module) - shared] for module in (modules.simd, modules.plain))
    return {SIMD: simd, PLAIN: plain, REST: modules.simd[len(simd) :]}


def pack(part: bytes) -> str:
    """Text of an element."""
    return base64.b64encode(zlib.compress(part, 9)).decode()


def with_checksum(page: str) -> str:
    """A page, and behind it the checksum of all that it says."""
    return f"{page}{_SUM}{hashlib.sha256(page.encode()).hexdigest()} -->\n"


def read_parts(path: Path) -> dict[str, bytes]:
    """Reads all parts of a page.

    Raises:
        UserError: if it is no page of format=web, or was changed or damaged.
    """
    try:
        page, mark, _ = (text := path.read_text()).rpartition(_SUM)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}") from error
    if not mark:
        raise UserError(f"{path}: is no page that format=web wrote, or not all of one: it has no checksum at its end")
    if with_checksum(page) != text:
        raise UserError(f"{path}: does not fit its checksum: the page was changed or damaged")
    try:
        found = {name: re.search(f' id="{name}">(.*?)</script>', page) for name in (SIMD, PLAIN, REST, DIGITS)}
        return {name: zlib.decompress(base64.b64decode(match[1])) for name, match in found.items() if match}
    except (binascii.Error, zlib.error) as error:
        raise UserError(f"{path}: can't be read: {error}") from error


def read_modules(path: Path) -> Modules:
    """Reads the modules of a page.

    Raises:
        UserError: if it is no page of format=web, or was changed or damaged.
    """
    parts = read_parts(path)
    if missing := [name for name in (SIMD, PLAIN, REST) if name not in parts]:
        raise UserError(f"{path}: has no part {missing[0]}: the page was changed or damaged")
    return Modules(parts[SIMD] + parts[REST], parts[PLAIN] + parts[REST])
