"""benchmark.py from end to end, and its one-line errors; nothing here depends on speed."""

import json

import pytest
import torch

from apot_lit.benchmark.benchmark_tables import markdown_table
from apot_lit.benchmark.setting import find_compiler

TINY = (
    *("device=cpu", "models=[resnet10]", "width=2", "repeats=2", "apot_bits=[2,8]", "uniform_bits=[5]"),
    *("projection_elements=1000", "pipeline_images=256", "evaluation_images=50"),
    *("data.batch_size=16", "data.train_images=340"),
)
SPREAD = {"median", "q1", "q3"}


def run_tiny(run_script, directory, *more):
    outcome = run_script("benchmark.py", *TINY, *more, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.err
    return outcome, json.loads((directory / "benchmark.json").read_text())


def test_writes_what_it_measured(run_script, tmp_path):
    directory = tmp_path / "run"
    outcome, result = run_tiny(run_script, directory)
    for name in ("benchmark.json", "benchmark.png"):
        assert str(directory / name) in outcome.out
    assert (directory / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert not list(directory.rglob("*.ckpt"))

    assert (result["repeats"], result["compiled"], result["hardware"]["threads"]) == (2, False, torch.get_num_threads())
    assert {"versions", "commit", "hardware"} <= set(result)
    names = [(row["model"], row["scheme"], row["bit"], row["variant"]) for row in result["steps"]]
    assert names == [
        ("resnet10", scheme, bit, variant)
        for scheme, bit in (("float", 32), ("apot", 2), ("apot", 8), ("uniform", 5))
        for variant in ("contiguous", "channels_last")
    ]
    for row in result["steps"]:
        for key in ("ms", "float_ms", "ratio"):
            assert set(row[key]) == SPREAD
            assert 0 < row[key]["q1"] <= row[key]["median"] <= row[key]["q3"]
    assert [row["model"] for row in result["step_8_to_2"]] == ["resnet10"]

    projection = result["projection"]
    assert [row["name"] for row in projection["rows"]] == ["copy", "half_grid", "distance_matrix", "bucketize"]
    assert set(result["pipeline"]["images_per_second"]) == {"ours", "torchvision"}
    assert result["epoch"]["steps"] == 22  # 21 batches of 16 images and one of 4
    assert result["epoch"]["ratio"] == pytest.approx(result["epoch"]["trainer_ms"] / result["epoch"]["bare_ms"])
    assert [(row["scheme"], row["bit"]) for row in result["evaluation"]] == [("float", 32), ("apot", 5)]
    assert {target["met"] for target in result["targets"]} == {None}  # neither the network nor the batch
    assert "resnet10" in markdown_table([result])


@pytest.mark.slow
def test_inference_is_measured_alone(run_script, tmp_path):
    tiny = ("device=cpu", "models=[resnet10]", "width=2", "repeats=2", "apot_bits=[3]", "uniform_bits=[2]")
    outcome = run_script("benchmark.py", "benchmark=inference", "stems=[small]", *tiny, f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "run/inference.json").read_text())
    rows = [(row["scheme"], row["engine"], row["batch"], row["threads"]) for row in result["rows"]]
    engines = ("integer ONNX", "float32 ONNX", "quantised torch", "float32 torch")
    assert set(rows) == {
        *((s, e, b, t) for s in ("apot", "uniform") for e in engines for b in (1, 128) for t in (1, 2)),
        *((s, e, b, 1) for s in ("apot", "uniform") for e in result["kernels"] for b in (1, 128)),
    }
    assert {"C", "C, portable", "C, shifts and additions"} <= result["kernels"].keys()
    for row in result["rows"]:
        assert row["images_per_second"] > 0
        assert row["engine"] != "float32 ONNX" or row["ratio"]["median"] == 1
    assert "steps" not in result
    assert "over those of the float32 weights: resnet10, small stem, APoT 3 bits" in outcome.out


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
def test_compiled_variants(run_script, tmp_path):
    _, result = run_tiny(run_script, tmp_path / "run", "compile=true", "compile_bits=[8]")
    compiled = [(row["scheme"], row["bit"]) for row in result["steps"] if row["variant"] == "compiled"]
    assert compiled == [("float", 32), ("apot", 8)]
    assert "half_grid_compiled" in [row["name"] for row in result["projection"]["rows"]]


@pytest.mark.slow
def test_without_a_compiler_nothing_is_compiled(run_script, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    outcome, result = run_tiny(run_script, tmp_path / "run", "compile=true", "repeats=1")
    assert "no C++ compiler" in outcome.out
    assert not result["compiled"]


CASES = [
    (["repeats=0"], ["repeats=0", "at least 1"]),
    (["width=0"], ["width=0", "from 1 to 512"]),
    (["apot_bits=[]"], ["apot_bits=[]", "2, 3, 4, 5, 6, 7, 8"]),
    (["uniform_bits=[]"], ["uniform_bits=[]"]),
    (["apot_bits=[9]"], ["apot_bits=[9]", "2, 3, 4, 5, 6, 7, 8"]),
    (["apot_bits=[5,5]"], ["apot_bits=[5, 5]", "all different"]),
    (["apot_bits=[five]"], ["five"]),
    (["models=[]"], ["models=[]", "resnet18"]),
    (["models=[resnet19]"], ["resnet19", "resnet18"]),
    (["device=abacus"], ["device=abacus", "auto, cpu, cuda"]),
    (["pipeline_images=60001"], ["pipeline_images=60001", "from 1 to 60000"]),
    (["evaluation_images=0"], ["evaluation_images=0", "from 1 to 10000"]),
    (["data.batch_size=0"], ["data.batch_size=0"]),
    (["data.std=0"], ["data.std=0"]),
    (["optimizer.lr=-1"], ["optimizer.lr=-1"]),
    (["repeatz=3"], ["repeatz", "did you mean repeats?"]),
    (["+foo=1"], ["foo", "unknown"]),
    (["benchmark=fast"], ["benchmark=fast", "full", "quick"]),
]
if not torch.cuda.is_available():
    CASES.append((["device=cuda"], ["device=cuda", "no CUDA GPU"]))


@pytest.mark.parametrize(("arguments", "parts"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_one_line_and_exit_code_2(run_script, tmp_path, arguments, parts):
    outcome = run_script("benchmark.py", *arguments, f"hydra.run.dir={tmp_path}/run")
    outcome.assert_refused(parts)
    assert not list(tmp_path.rglob("benchmark.json"))
