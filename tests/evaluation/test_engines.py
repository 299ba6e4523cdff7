"""evaluate.py engine=c and engine=onnx: the report of the reference executor, to the bit."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F

from apot_lit.export.c_source import write_c
from apot_lit.export.onnx_float import build_float_onnx
from apot_lit.export.onnx_model import build_onnx
from apot_lit.graph.steps import INPUT
from apot_lit.graph.trace import build_steps
from apot_lit.integer import Executor, to_integers
from apot_lit.stored.packed import save_packed
from tests import conftest
from tests.export.conftest import digits, save_checkpoint, trained
from tests.export.random_networks import Builder

BATCH, COUNT = 500, 1000
NEEDS = {
    "c": pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    "onnx": (),
}
ENGINES = [pytest.param(engine, marks=marks) for engine, marks in NEEDS.items()]
one_thread = pytest.fixture(autouse=True, scope="module")(conftest.one_thread)


@pytest.fixture(scope="module")
def integers():
    return to_integers(trained(4, 1, width=4), digits("train")[0][:300], 12)


@pytest.fixture(scope="module")
def files(integers, tmp_path_factory):
    """One network in all its forms; a checkpoint of it, one in full precision, and networks that aren't of digits."""
    directory = tmp_path_factory.mktemp("files")
    save_checkpoint(directory / "4.ckpt", 4, 1)
    config = torch.load(directory / "4.ckpt", weights_only=True)["hyper_parameters"]["config"]
    save_packed(trained(4, 1, width=4), integers, config, directory / "packed.safetensors")
    write_c(integers, "a test", directory / "c")
    (directory / "net.onnx").write_bytes(build_onnx(integers, {}).SerializeToString())
    full = build_float_onnx(build_steps(trained(32, 1, width=4)), (1, 28, 28), {})
    (directory / "float.onnx").write_bytes(full.SerializeToString())
    for name, shape, classes in (("seven", (1, 28, 28), 7), ("small", (1, 8, 8), 10)):
        other = Builder(0, shape)
        write_c(other.head(other.batch_norm(other.convolution(INPUT, 3, (3, 3))), classes), name, directory / name)
    return directory


def evaluate(run_script, files, tmp_path, name, *arguments):
    where = f"ckpt_path={files}/{name}", f"hydra.run.dir={tmp_path}/run"
    limits = f"batch_size={BATCH}", f"+trainer.limit_test_batches={COUNT // BATCH}"
    outcome = run_script("evaluate.py", *where, *limits, *arguments)
    path = tmp_path / "run/evaluation.json"
    return outcome, json.loads(path.read_text()) if path.exists() else None


def expected(network):
    images, labels = (values[:COUNT] for values in digits())
    logits = Executor(network)(images).double() * network.logit_scale
    right = [[int(((labels == a) & (logits.argmax(1) == b)).sum()) for b in range(10)] for a in range(10)]
    return right, float(F.cross_entropy(logits, labels))


@pytest.mark.parametrize("name", ["packed.safetensors", {"c": "c", "onnx": "net.onnx"}], ids=["packed", "export"])
@pytest.mark.parametrize("engine", ENGINES)
def test_scores_are_those_of_the_reference_executor(run_script, files, tmp_path, integers, engine, name):
    name = name if isinstance(name, str) else name[engine]
    outcome, evaluation = evaluate(run_script, files, tmp_path, name, f"engine={engine}")
    assert outcome.code == 0, outcome.err
    confusion, loss = expected(integers)
    assert evaluation["confusion"] == confusion
    assert evaluation["loss"] == pytest.approx(loss, rel=1e-6)
    assert (evaluation["arithmetic"], evaluation["engine"]["name"]) == ("integer", engine)
    assert 0 < evaluation["engine"]["seconds"] < 60
    assert f"engine {engine} ({evaluation['engine']['computes']}): 1,000 images in" in outcome.out
    assert (tmp_path / "run/confusion.png").exists()
    is_export = not name.endswith(".safetensors")
    assert all((key in evaluation) != is_export for key in ("integer", "cost", "clipping_thresholds", "config"))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_report_of_a_checkpoint_is_that_of_torch(run_script, files, tmp_path, engine):
    _, reference = evaluate(run_script, files, tmp_path / "torch", "4.ckpt", "arithmetic=integer")
    outcome, found = evaluate(run_script, files, tmp_path, "4.ckpt", f"engine={engine}")
    assert outcome.code == 0, outcome.err
    assert reference["engine"] == {"name": "torch"}
    saturated = reference["integer"].pop("saturated")
    assert saturated
    assert found["integer"].pop("saturated") is None
    assert "only engine=torch counts them" in outcome.out
    assert found.pop("engine")["name"] == engine
    assert {**found, "engine": {"name": "torch"}} == reference


@pytest.mark.slow
def test_another_stream_gives_other_logits(run_script, files, tmp_path):
    """Otherwise scores that don't depend on the integers would pass above."""
    _, coarse = evaluate(run_script, files, tmp_path, "packed.safetensors", "engine=onnx", "export.stream_bit=8")
    _, fine = evaluate(run_script, files, tmp_path, "packed.safetensors", "engine=onnx")
    assert (coarse["integer"]["stream_bit"], fine["integer"]["stream_bit"]) == (8, 12)
    assert coarse["loss"] != fine["loss"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("4.ckpt", ["engine=c", "arithmetic=float"], "arithmetic=float: engine=c computes in integers"),
        ("4.ckpt", ["engine=rust"], "engine=rust: must be one of torch, c, onnx"),
        ("c", [], "is no checkpoint; an export of this kind is evaluated with engine=c"),
        (".", [], "is a directory; name the file in it, such as checkpoints/best.ckpt"),
        ("c", ["data=fashion_mnist"], "data=...: is no choice of this script; --help shows its options"),
        ("c", ["engine=onnx"], "is no checkpoint; an export of this kind is evaluated with engine=c"),
        ("net.onnx", ["engine=c"], "is no checkpoint; an export of this kind is evaluated with engine=onnx"),
        ("none.onnx", ["engine=onnx"], "none.onnx: there is no such file"),
        ("float.onnx", ["engine=onnx"], "does not say what its logits stand for (logit_scale)"),
        (".", ["engine=c"], "is no export of format=c"),
        ("c", ["engine=c", "split=val"], "split=val: "),
        ("net.onnx", ["engine=onnx", "export.stream_bit=8"], "export.stream_bit=8: "),
        ("net.onnx", ["engine=onnx", "model=resnet10"], "is a whole network; leave model and quant out"),
        ("seven", ["engine=c"], "has 7 classes; the images have 10"),
        ("small", ["engine=c"], "pixels: must be uint8 [N, 1 x 8 x 8], are uint8 [1, 1, 28, 28]"),
    ],
)
def test_what_it_refuses_is_one_line(run_script, files, tmp_path, name, arguments, said):
    outcome, evaluation = evaluate(run_script, files, tmp_path, name, *arguments)
    assert outcome.code == 2
    assert outcome.err.strip().splitlines() == [outcome.err.strip()]
    assert said in outcome.err
    assert evaluation is None


def test_without_a_compiler_c_is_refused(run_script, files, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    outcome, evaluation = evaluate(run_script, files, tmp_path, "4.ckpt", "engine=c")
    assert outcome.code == 2
    assert outcome.err == "error: engine=c: needs a C compiler (cc or $CC)\n"
    assert evaluation is None
