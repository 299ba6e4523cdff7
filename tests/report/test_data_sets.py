"""Results of two data sets in one directory: no table has both."""

import json
import statistics

from apot_lit.report.collect import collect
from apot_lit.report.compose import document_sections, report
from apot_lit.report.data_sets import data_section, names_of_data, of_data
from apot_lit.report.documents import section
from tests.conftest import ROOT
from tests.report.test_report import result

ACCURACIES = {("apot", 0): 0.91, ("apot", 1): 0.92, ("uniform", 0): 0.90, ("uniform", 1): 0.93}


def fashion(test, **options):
    made = result(test=test, recipe="best", **options)
    made["config"]["data"] |= {"name": "fashion_mnist", "source": "fashion_mnist", "mean": 73 / 255, "std": 0.353}
    return made


def write(directory):
    directory.mkdir()
    for seed in (0, 1):
        for power in (1, 0):
            (directory / f"mnist_{power}_{seed}.json").write_text(
                json.dumps(result(recipe="best", power=power, seed=seed, test=0.99))
            )
    (directory / "fashion_mnist").mkdir()
    for (scheme, seed), accuracy in ACCURACIES.items():
        made = fashion(accuracy, power=int(scheme == "apot"), seed=seed)
        (directory / f"fashion_mnist/resnet10_4bit_{scheme}_seed{seed}.json").write_text(json.dumps(made))
    return directory


def test_tables_of_one_set_hold_no_run_of_the_other(tmp_path):
    collection = collect(write(tmp_path / "results"))
    assert names_of_data(collection) == ["mnist", "fashion_mnist"]
    for name, accuracies in (("mnist", {0.99}), ("fashion_mnist", set(ACCURACIES.values()))):
        groups = of_data(collection, name).groups
        runs = [run for group in groups for members in group.runs.values() for run in members]
        assert (len(groups), len(runs), groups[0].main, groups[0].name) == (1, 4, True, "best")
        assert {run.test_accuracy for run in runs} == accuracies


def test_the_section_has_means_deviations_seeds_and_the_machine(tmp_path):
    text = data_section(collect(write(tmp_path / "results")), "fashion_mnist")
    for scheme in ("apot", "uniform"):
        values = [100 * value for (one, _), value in ACCURACIES.items() if one == scheme]
        assert f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" in text
    assert "By the recipe best, APoT minus uniform is +0.00 ±" in text
    assert "Trained on abacus, 1 thread, cpu." in text
    assert "99.00" not in text
    assert "not run yet" not in text


def test_without_results_the_section_says_so(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(result()))
    assert data_section(collect(tmp_path), "fashion_mnist") == "There are no results on Fashion-MNIST yet."


def test_sections_of_mnist_are_the_same_with_and_without_the_others(tmp_path):
    directory = write(tmp_path / "results")
    both = document_sections(collect(directory), {}, directory)
    for path in (directory / "fashion_mnist").iterdir():
        path.unlink()
    alone = document_sections(collect(directory), {}, directory)
    assert both.pop("fashion_mnist") != alone.pop("fashion_mnist")
    known, known_alone = (sections.pop("known").splitlines() for sections in (both, alone))
    differing = [one for one, other in zip(known, known_alone, strict=True) if one != other]
    assert len(differing) == 1
    assert "on Fashion-MNIST" in differing[0]
    assert both == alone


def test_the_report_fills_the_document(tmp_path, capsys):
    document = tmp_path / "fashion_mnist.md"
    document.write_text((ROOT / "docs/fashion_mnist.md").read_text())
    config = {"results_dir": str(write(tmp_path / "results")), "published": str(ROOT / "results/published.csv")}
    paths = {"output_dir": str(tmp_path / "report"), "root_dir": str(ROOT)}
    (tmp_path / "report").mkdir()
    report({**config, "documents": [str(document)], "data_dir": None, "download": False, "paths": paths})
    filled = section(document.read_text(), "fashion_mnist")
    assert filled == data_section(collect(tmp_path / "results"), "fashion_mnist")
    assert "kept apart, another data set: Fashion-MNIST" in capsys.readouterr().err
    assert filled in (tmp_path / "report/tables.md").read_text()
    assert "levels on MNIST" in (tmp_path / "report/report.html").read_text()
