"""Tables and targets of a small handmade result."""

import copy

import pytest

from apot_lit.benchmark.benchmark_tables import inference_report, markdown_table, text_report
from apot_lit.benchmark.targets import compare_with_targets


def spread(median):
    return {"median": median, "q1": median * 0.9, "q3": median * 1.1}


def step(scheme, bit, variant, ratio):
    row = {"model": "resnet18", "scheme": scheme, "bit": bit, "variant": variant}
    return {**row, "ms": spread(100 * ratio), "float_ms": spread(100.0), "ratio": spread(ratio)}


RESULT = {
    "config": {"width": 16, "data": {"batch_size": 128}},
    "versions": {"torch": "2.11.0"},
    "hardware": {"cpu": "Abacus", "threads": 2, "device": "cpu"},
    "repeats": 7,
    "steps": [
        step("float", 32, "contiguous", 1.0),
        step("float", 32, "channels_last", 0.95),
        step("apot", 5, "contiguous", 1.2),
        step("apot", 5, "channels_last", 0.98),
        step("apot", 5, "compiled", 0.95),
    ],
    "step_8_to_2": [{"model": "resnet18", "ratio": spread(1.05)}],
    "projection": {
        "elements": 1000,
        "rows": [{"name": "half_grid", "ms": spread(1.0), "to_copy": spread(9.0), "speedup": spread(15.0)}],
    },
    "pipeline": {
        "images_per_second": {"ours": 200_000.0, "torchvision": 8_000.0},
        "speedup": spread(25.0),
        "step_share": 0.01,
        "step_model": "resnet18",
    },
    "epoch": {"model": "resnet18", "steps": 60, "ratio": 1.02},
    "evaluation": [{"model": "resnet18", "scheme": "apot", "bit": 5, "images_per_second": 5000.0}],
}


@pytest.fixture
def result():
    result = copy.deepcopy(RESULT)
    return {**result, "targets": compare_with_targets(result)}


def test_targets_are_met_unmet_or_not_measured(result):
    short = [(target["target"], target["measured"], target["met"]) for target in result["targets"]]
    assert short == [
        ("at most 1", 0.98, True),
        ("at most 0.9", 0.95, False),
        ("at most 1.05", 1.05, True),
        ("at most 1", None, None),
        ("at least 15", 15.0, True),
        ("at most 8", 9.0, False),
        ("at most 4", None, None),
        ("at least 20", 25.0, True),
        ("at most 0.05", 0.01, True),
        ("at most 1.05", 1.02, True),
    ]


@pytest.mark.parametrize("other", [{"width": 8}, {"data": {"batch_size": 64}}])
def test_other_networks_and_batches_meet_no_target(result, other):
    result["config"] |= other
    assert {target["met"] for target in compare_with_targets(result)} == {None}


def test_markdown_table(result):
    table = markdown_table([result])
    where, steps, targets, missed = table.split("\n\n")
    assert "128 images" in where
    assert "Abacus, 2 threads, torch 2.11.0" in where
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in steps.splitlines()]
    assert cells[0] == [
        *("network", "weights and activations", "float32", "contiguous", "channels_last", "compiled"),
    ]
    assert cells[2] == ["resnet18", "float32", "100.0 ms", "1.00", "0.95", "-"]
    assert cells[3] == ["resnet18", "APoT, 5 bits", "100.0 ms", "1.20", "0.98", "0.95"]
    assert len(cells) == 4
    verdicts = [line.strip("|").split("|")[-1].strip() for line in targets.splitlines()[2:]]
    assert verdicts == [{True: "yes", False: "no", None: "not measured"}[target["met"]] for target in result["targets"]]
    assert missed == "Not met: ResNet-18 step, APoT 5 bits, compiled, to float32; projection, eager, in memory copies."


def test_where_nothing_is_missed_it_says_so(result):
    result["targets"] = [target for target in result["targets"] if target["met"] is not False]
    assert markdown_table([result]).split("\n\n")[-1] == "No target that was measured is missed."


def test_text_report_has_every_measurement(result):
    report = text_report(result)
    for part in ("1.20 (1.08-1.32)", "half_grid", "200,000", "5,000", "1.00 % of", "1.020 times", "1.05 (0.9"):
        assert part in report


def test_of_several_results_each_has_its_steps_and_a_target_is_of_the_first_that_measured_it(result):
    other = copy.deepcopy(result)
    other["steps"] = [{**step("apot", 5, "channels_last", 1.3), "model": "resnet50"}]
    other["epoch"]["ratio"] = 1.5
    other["targets"] = compare_with_targets(other)
    _, first, _, second, targets, missed = markdown_table([result, other]).split("\n\n")
    assert "resnet18" in first
    assert "resnet50" in second
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in targets.splitlines()[2:]]
    assert len(lines) == len(result["targets"])
    assert ["at most 1", "1.3", "no"] in [line[1:] for line in lines]
    assert ["at most 1.05", "1.02", "yes"] in [line[1:] for line in lines]
    assert "ResNet-50 step" in missed
    assert "whole epoch" not in missed


def test_inference_report():
    def timed(engine, batch, ratio, speed):
        row = {"model": "resnet18", "stem": "reference", "scheme": "apot", "bit": 4, "threads": 1}
        return {**row, "engine": engine, "batch": batch, "images_per_second": speed, "ratio": spread(ratio)}

    result = {
        **{key: RESULT[key] for key in ("versions", "hardware", "repeats")},
        "onnxruntime": "1.31.1",
        "rows": [
            timed("integer ONNX", 1, 0.5, 600.0),
            timed("float32 ONNX", 1, 1.0, 1200.0),
            timed("C", 1, 0.2, 240.0),
            timed("integer ONNX", 128, 0.25, 1000.0),
            timed("float32 ONNX", 128, 1.0, 4000.0),
            {**timed("float32 ONNX", 1, 1.0, 800.0), "stem": "small"},
            {**timed("C", 1, 3.5, 2800.0), "stem": "small"},
            timed("C", 128, 2.0, 8000.0),
            timed("C, AVX2", 1, 2.5, 3000.0),
        ],
        "sizes": [{"model": "resnet18", "scheme": "apot", "bit": 4, "share": 0.107}],
        "kernels": {"C": "AVX-512 VNNI", "C, AVX2": "portable"},
        "config": {"width": 16},
    }
    where, table, targets, sizes = inference_report(result, "github").split("\n\n")
    assert "Abacus, onnxruntime 1.31.1, torch 2.11.0; medians of 7" in where
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert cells[0] == ["network", "batch", "threads", "integer ONNX", "float32 ONNX", "C", "C, AVX2"]
    assert cells[2] == ["resnet18, APoT 4 bits", "1", "1", "0.50", "1,200 images/s", "0.20", "2.50"]
    assert cells[3] == ["resnet18, APoT 4 bits", "128", "1", "0.25", "4,000 images/s", "2.00", "-"]
    assert cells[4] == ["resnet18, small stem, APoT 4 bits", "1", "1", "-", "800 images/s", "3.50", "-"]
    assert "resnet18, APoT 4 bits: 0.107" in sizes
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in targets.splitlines()[2:]]
    names, verdicts = [line[0] for line in lines], [line[1:] for line in lines]
    small = [names.index(name) for name in names if "small stem" in name]
    assert small == list(range(len(names) // 2, len(names)))
    assert [names[n].replace("small stem, ", "") for n in small] == names[: len(names) // 2]
    assert [verdicts[n][0] for n in small] == [verdict[0] for verdict in verdicts[: len(names) // 2]]
    assert verdicts[small[0]] == ["at least 3", "3.5", "yes"]
    assert verdicts[small[1]] == ["at least 2", "-", "not measured"]
    # The row for AVX2 was measured with other kernels.
    assert verdicts[:3] == [
        ["at least 3", "0.2", "no"],
        ["at least 2", "2", "yes"],
        ["at least 2", "-", "not measured"],
    ]
    assert len(inference_report({**result, "config": {"width": 8}}, "github").split("\n\n")) == 3
    assert "0.50 (0.45-0.55)" in inference_report(result)
