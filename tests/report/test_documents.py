"""The numbers in documents are those of the committed results."""

import re

import pytest

from apot_lit.report.collect import collect
from apot_lit.report.compose import document_sections
from apot_lit.report.documents import section
from apot_lit.report.tables import read_published
from tests.conftest import ROOT

DOCUMENTS = re.search(r"^DOCUMENTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split(",")
BEGIN = re.compile(r"^<!-- (\w+):begin -->$", re.MULTILINE)
GENERATED = re.compile(r"<!-- (\w+):begin -->.*?<!-- \1:end -->", re.DOTALL)


@pytest.fixture(scope="module")
def sections():
    collection = collect(ROOT / "results")
    assert not collection.left_out
    return document_sections(collection, read_published(ROOT / "results/published.csv"), ROOT / "results")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_sections_are_those_of_the_results(sections, document):
    content = (ROOT / document).read_text()
    names = BEGIN.findall(content)
    assert names
    for name in names:
        assert section(content, name) == sections[name], f"{document}: {name}: run make report"


def test_every_section_is_in_a_document(sections):
    shown = [name for document in DOCUMENTS for name in BEGIN.findall((ROOT / document).read_text())]
    assert sorted(shown) == sorted(sections)


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_no_accuracy_is_copied_by_hand(path):
    assert not re.findall(r"\b9\d\.\d+", GENERATED.sub("", path.read_text()))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_a_section_stands_between_both_of_its_lines():
    assert section("a\n<!-- x:begin -->\ntable\n<!-- x:end -->\nb", "x") == "table"
    for content in ("a", "<!-- x:begin --> without end", "<!-- x:end --> table <!-- x:begin -->"):
        assert section(content, "x") is None
    assert section("<!-- x:begin -->1<!-- x:end --><!-- x:begin -->2<!-- x:end -->", "x") is None
