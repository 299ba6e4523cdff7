"""The README's tables of benchmarks are those of the result files."""

import pytest

from apot_lit.report.readme import section
from apot_lit.report.run import benchmark_tables
from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["benchmark", "inference"])
def test_the_table_is_that_of_the_results(name):
    assert section((ROOT / "README.md").read_text(), name) == benchmark_tables(ROOT / "results")[name]
