"""The README's table of the benchmark is the one of the result file."""

import json

from apot_lit.benchmark import inference
from apot_lit.benchmark.report import BEGIN, END, markdown_table, readme_section
from tests.conftest import ROOT

RESULTS = sorted((ROOT / "results").glob("benchmark_*.json"))
README = (ROOT / "README.md").read_text()


def test_the_table_is_that_of_the_result():
    section = readme_section(README)
    assert (section is not None) == bool(RESULTS), (
        f"either both or none: results/benchmark_*.json and {BEGIN} in README.md"
    )
    assert README.count(BEGIN) == README.count(END) == int(section is not None)
    if section is not None:
        assert section == "\n\n".join(markdown_table(json.loads(path.read_text())) for path in RESULTS)


def test_the_table_of_inference_is_that_of_the_result():
    section = README.partition(inference.BEGIN)[2].partition(inference.END)[0].strip()
    result = json.loads((ROOT / "results/inference_cpu_resnet18.json").read_text())
    assert section == inference.inference_table(result, "github")
