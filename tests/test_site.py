"""docs/ as a site: strictly built, whole without the network, with links that lead somewhere."""

import re
import shutil
import subprocess
import sys
from urllib.parse import unquote, urldefrag

import pytest

import apot_lit.quant
from tests import test_imports
from tests.conftest import ROOT

pytest.importorskip("material", reason="needs the extra docs")
pytest.importorskip("mkdocstrings", reason="needs the extra docs")
pytestmark = pytest.mark.slow


def build(root, site):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT, directory)
    assert done.returncode == 0, done.stderr
    return directory


def test_every_link_and_picture_is_there_without_the_network(site):
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]
    checked = 0
    for page in pages:
        text = page.read_text()
        assert not re.findall(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]*"', text)
        assert 'class="mermaid"' not in text  # the theme would fetch a script for it
        for target in re.findall(r'<(?:a|img|link|script)[^>]+(?:href|src)="([^"]+)"', text):
            if re.match(r"\w+:", target):
                continue
            path, anchor = urldefrag(target)
            other = page if not path else (page.parent / unquote(path)).resolve()
            assert other.is_file(), f"{page.name}: {target}"
            if anchor and other.suffix == ".html":
                assert f'id="{unquote(anchor)}"' in other.read_text(), f"{page.name}: {target}"
            checked += 1
    assert checked > 1000


def test_the_front_page_is_the_readme(site):
    headings = re.findall(r"^## (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert re.findall(r"<h2[^>]*>([^<]+)<a", (site / "index.html").read_text()) == headings


def test_the_reference_has_every_public_name_of_the_quantisers(site):
    text = (site / "api/quant.html").read_text()
    assert not [name for name in apot_lit.quant.__all__ if f'id="apot_lit.quant.{name}"' not in text]


def test_the_picture_of_the_house_is_a_table(site):
    text = (site / "design.html").read_text()
    rows = dict(re.findall(r"<tr>\s*<td>(\w+)</td>\s*<td>([\w, ]+)</td>\s*</tr>", text))
    drawn = {(room, other) for room in rows for other in rows[room].split(", ")}
    assert drawn == {(room, other) for room, other in test_imports.arrows() if other != "errors"}


@pytest.mark.parametrize("link", ["../conf/nothing.yaml", "nothing.md", "results.md#nothing", "../apot_lit/nothing"])
def test_a_link_that_leads_nowhere_is_an_error(tmp_path, link):
    left_out = shutil.ignore_patterns(".git", ".venv", ".uv", "outputs", "pretrained", "tests", "build")
    shutil.copytree(ROOT, tmp_path / "clone", ignore=left_out)
    with (tmp_path / "clone/docs/install.md").open("a") as page:
        page.write(f"\n[somewhere]({link})\n")
    done = build(tmp_path / "clone", tmp_path / "site")
    assert done.returncode == 1
    assert "nothing" in done.stderr
