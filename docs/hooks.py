"""Makes a site of docs/ and of the files at the root: front page, links out of docs/, pictures without scripts."""

import logging
import re
from collections import defaultdict
from pathlib import Path
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
AT_THE_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Documents outside docs/ -> pages of the site."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
_WHOLE_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\((?!\w+:|#)([^)#\s]+)[^)]*\)")
_FLOWCHART = re.compile(r"^```mermaid\nflowchart TD\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_log = logging.getLogger("mkdocs.plugins.hooks")  # whose warnings end a strict build


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made of files at the root, and every file that a page links to."""
    for name, page in AT_THE_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for file in list(files.documentation_pages()):
        place = _place(file.src_uri)
        for target in _LINK.findall(file.content_string):
            path = _resolved(target, place)
            if not path.startswith("docs/") and path not in AT_THE_ROOT and (ROOT / path).is_file():
                copy = File.generated(config, _copy(path), abs_src_path=str(ROOT / path))
                if copy.src_uri not in files.src_uris:
                    files.append(copy)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links between pages, and flow charts into tables."""
    place = _place(page.file.src_uri)

    def without_directories(link: re.Match[str]) -> str:
        """A directory has no page: its name stays."""
        return link[1] if (ROOT / _resolved(link[2], place)).is_dir() else link[0]

    def on_site(link: re.Match[str]) -> str:
        path = _resolved(link[1], place)
        if not (ROOT / path).exists():
            _log.warning("%s: links to %s, which does not exist", page.file.src_uri, link[1])
        target = AT_THE_ROOT.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else _copy(path))
        return relpath(target, Path(page.file.src_uri).parent.as_posix())

    return _FLOWCHART.sub(_table, _LINK.sub(on_site, _WHOLE_LINK.sub(without_directories, markdown)))


def _place(uri: str) -> str:
    """The directory in the repository, relative to its root, that a page's links start from."""
    return "." if uri in AT_THE_ROOT.values() else Path("docs", uri).parent.as_posix()


def _resolved(target: str, place: str) -> str:
    return normpath(f"{place}/{target}")


def _copy(path: str) -> str:
    """Where a file from outside docs/ stands on the site; as text, which browsers show."""
    return f"files/{path}.txt" if path.endswith((".md", ".yaml", ".py")) else f"files/{path}"


def _table(chart: re.Match[str]) -> str:
    """A flow chart as a table, for drawing it would need a script from the network."""
    read = defaultdict(list)
    for line in chart[1].splitlines():
        source, _, reader = line.strip().partition(" --> ")
        read[reader].append(source)
    rows = [f"| {reader} | {', '.join(sources)} |" for reader, sources in read.items()]
    return "\n".join(["| room | imports from |", "|---|---|", *rows])
