"""The README's tables are those of the committed results."""

from apot_lit.report.collect import collect
from apot_lit.report.readme import section
from apot_lit.report.tables import markdown, read_published
from tests.conftest import ROOT


def test_the_tables_are_those_of_the_results():
    collection = collect(ROOT / "results")
    assert not collection.left_out
    found = section((ROOT / "README.md").read_text(), "results")
    assert found == markdown(collection, read_published(ROOT / "results/published.csv"))


def test_a_section_stands_between_both_of_its_lines():
    assert section("a\n<!-- x:begin -->\ntable\n<!-- x:end -->\nb", "x") == "table"
    for content in ("a", "<!-- x:begin --> without end", "<!-- x:end --> table <!-- x:begin -->"):
        assert section(content, "x") is None
    assert section("<!-- x:begin -->1<!-- x:end --><!-- x:begin -->2<!-- x:end -->", "x") is None
