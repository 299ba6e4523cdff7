"""What was aimed at, on results written by hand: an aim that any network may reach is that of the best of them."""

import json

import pytest

from apot_lit.report.aims import aims_table, read_aims
from apot_lit.report.collect import collect
from tests.report.test_report import result

AIMS = """stem,model,bit,percent,parameters,seeds
small,resnet10,2,99.50,,
any,any,2,99.75,1000,2
"""
NAME = "any network of at most 1,000 parameters"


@pytest.fixture
def aims(tmp_path):
    """The aims, given the runs: model, stem, percents, parameters, and perhaps an accuracy in validation."""

    def read(*networks):
        for number, (model, stem, percents, parameters, *validation) in enumerate(networks):
            for seed, percent in enumerate(percents):
                content = result(model, 2, seed=seed, test=percent / 100, recipe="best", lr=0.2)
                content["val_accuracy"] = validation[0] if validation else 0.99
                content["config"]["model"]["stem"] = stem
                content |= {} if parameters is None else {"parameters": parameters}
                (tmp_path / f"{number}_{seed}.json").write_text(json.dumps(content))
        (tmp_path / "aims.csv").write_text(AIMS)
        return read_aims(collect(tmp_path), tmp_path / "aims.csv")

    return read


def test_the_best_of_those_that_are_small_enough_and_have_enough_seeds(aims):
    own, any_network = aims(
        ("resnet10", "reference", [99.1] * 8, 900),  # most runs: what is called best without more
        ("resnet10", "small", (99.6, 99.8), 1000, 0.995),
        ("resnet18", "small", (99.9, 99.9), 1001, 0.999),  # too large
        ("resnet34", "small", (99.9,), 900, 0.999),  # one seed
        ("resnet50", "small", (99.9, 99.9), None, 0.999),  # of a size that is not known
        ("resnet10", "strided", (99.9, 99.9), 900, 0.994),  # better on the test images alone, which choose nothing
    )
    assert own.name == any_network.by == "resnet10, small stem"
    assert (own.by, any_network.name) == ("", NAME)
    assert own.accuracies == any_network.accuracies == [0.996, 0.998]
    assert own.missed_by == pytest.approx(-0.2)
    assert any_network.missed_by == pytest.approx(0.05)
    *_, of_one, of_any = aims_table([own, any_network]).splitlines()
    assert "| 99.70 (met: 99.50), 2 seeds " in of_one
    assert f"| {NAME} " in of_any
    assert "| 99.70 (missed: 99.75), 2 seeds, resnet10, small stem |" in of_any


def test_without_such_a_network_it_was_not_run(aims):
    own, any_network = aims(("resnet10", "small", (99.6,), 900), ("resnet18", "reference", (99.1, 99.1), 1001))
    assert any_network == (NAME, 2, 99.75, [], "")
    assert any_network.missed_by is None
    assert any_network.cell() == "not run (99.75)"
    assert own.accuracies == [0.996]
