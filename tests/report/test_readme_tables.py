"""The README's tables are those of the committed results."""

from apot_lit.report.collect import collect
from apot_lit.report.tables import BEGIN, END, markdown, read_published
from tests.conftest import ROOT


def test_the_tables_are_those_of_the_results():
    readme = (ROOT / "README.md").read_text()
    assert readme.count(BEGIN) == readme.count(END) == 1
    section = readme.partition(BEGIN)[2].partition(END)[0]
    collection = collect(ROOT / "results")
    assert not collection.left_out
    assert section.strip() == markdown(collection, read_published(ROOT / "results/published.csv"))
