"""Files of the reference implementation: made here in its format, and a released one where it is at hand."""

import json
from pathlib import Path

import pytest
import torch

from apot_lit.interop.reference import fitting_options, is_reference, reference_state
from apot_lit.models import ResNet
from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.stored.trained import read_any_trained
from tests.conftest import ROOT, one_thread, slowly

RELEASED = ROOT.parent / "shared/reference/resnet10_4bit_apot.pth.tar"
NAMES = {"act_quantizer.raw_alpha": "act_alpha", "weight_quantizer.raw_alpha": "weight_alpha"}


single_thread = pytest.fixture(one_thread)


def write_reference(path: Path, network, **extra):
    """Writes a network the way the reference does: ``module.`` names, its own names of the alphas, extra entries."""
    state = {}
    for name, value in network.state_dict().items():
        for own, theirs in NAMES.items():
            name = name.replace(own, theirs)
        state[f"module.{name}"] = value.clone()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9).state_dict()
    torch.save(
        {"epoch": 25, "state_dict": state, "best_acc1": torch.tensor(99.6), "optimizer": optimizer, **extra}, path
    )
    return path


def quantised(name="resnet10", **spec):
    torch.manual_seed(0)
    return quantize_model(ResNet(name, width=4), QuantSpec(**spec)).eval()


def evaluate(run_script, tmp_path, path, *arguments, out="evaluation"):
    return run_script("evaluate.py", f"ckpt_path={path}", "trainer=cpu", f"hydra.run.dir={tmp_path}/{out}", *arguments)


def test_names_and_negative_thresholds(tmp_path):
    network = quantised(bit=3)
    network.layer1[0].conv1.weight_quantizer.raw_alpha.data.fill_(-0.02)
    checkpoint = torch.load(write_reference(tmp_path / "x.pth.tar", network), weights_only=True)
    assert is_reference(checkpoint)
    state = reference_state(checkpoint)
    assert state.keys() == network.state_dict().keys()
    assert state["layer1.0.conv1.weight_quantizer.raw_alpha"].item() == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["resnet10", "resnet14", "resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("bit", [3, 32])
def test_the_fitting_network_is_found(name, bit):
    network = quantised(name, bit=bit)
    assert fitting_options(network.state_dict()) == f"model={name} model.width=4"


@pytest.mark.parametrize(("bit", "power"), [(2, 1), (3, 0), (5, 1), (32, 1)])
def test_evaluation_computes_what_the_network_computes(run_script, tmp_path, bit, power):
    network = quantised(bit=bit, power=power, edge_scale="max")
    path = write_reference(tmp_path / "x.pth.tar", network)
    arguments = ["model=resnet10", "model.width=4", f"quant.bit={bit}", f"quant.power={power}"]
    outcome = evaluate(run_script, tmp_path, path, *arguments)
    assert outcome.code == 0, outcome.err
    from apot_lit.data.embedded import load_idx_pair

    images, labels = load_idx_pair(ROOT / "data/mnist", "test")
    with torch.no_grad():
        right = sum(
            int((network((x / 255 - 0.131) / 0.308).argmax(1) == y).sum())
            for x, y in zip(images.float().split(1000), labels.split(1000), strict=True)
        )
    evaluation = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    # The same function in another order of operations: a pixel at a midpoint may fall to the other side.
    assert abs(round(evaluation["accuracy"] * 10_000) - right) <= 10
    assert evaluation["config"]["data"]["val_split"] == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["model=resnet10 model.width=4", "quant.bit"]),
        (
            ["model=resnet18", "model.width=4", "quant.bit=3"],
            ["model=resnet18", "layer1.1.conv1.weight", "model=resnet10"],
        ),
        (["model=resnet10", "quant.bit=3"], ["conv1.weight", "[4, 1, 7, 7]", "model.width=4"]),
        (["model=resnet10", "model.width=4", "quant.bit=32"], ["quant.bit=32", "clipping thresholds", "2 to 8"]),
        (["model=resnet10", "model.width=0", "quant.bit=3"], ["model.width=0", "from 1 to 512"]),
        (["model=resnet10", "model.width=4", "quant.bit=9"], ["quant.bit=9", "2, 3, 4, 5, 6, 7, 8, 32"]),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(run_script, tmp_path, arguments, parts):
    path = write_reference(tmp_path / "x.pth.tar", quantised(bit=3))
    outcome = evaluate(run_script, tmp_path, path, *arguments)
    assert outcome.code == 2
    assert len(outcome.err.strip().splitlines()) == 1
    for part in parts:
        assert part in outcome.err


def test_code_in_a_file_never_runs(run_script, tmp_path):
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (Path.touch, (marker,))

    path = write_reference(tmp_path / "x.pth.tar", quantised(bit=3), extra=Payload())
    outcome = evaluate(run_script, tmp_path, path, "model=resnet10", "model.width=4", "quant.bit=3")
    assert outcome.code == 2
    assert not marker.exists()


def test_training_starts_from_it_but_does_not_resume_it(run_script, tmp_path):
    network = quantised(bit=4)
    path = write_reference(tmp_path / "x.pth.tar", network)
    common = ["model=resnet10", "model.width=4", "quant.bit=3", "data.train_images=256", "trainer.max_epochs=1",
              "optimizer.lr=0", "trainer=cpu", f"hydra.run.dir={tmp_path}/run"]  # fmt: skip
    outcome = run_script("train.py", *common, f"init_from={path}")
    assert outcome.code == 0, outcome.err
    after = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, value in network.named_parameters():
        assert torch.equal(after[f"network.{name}"], value), name
    outcome = run_script("train.py", *common, f"ckpt_path={path}")
    assert outcome.code == 2
    assert "no configuration" in outcome.err


@pytest.mark.skipif(not RELEASED.exists(), reason="no released checkpoint at hand")
@pytest.mark.parametrize(
    ("split", "right", "within"),
    [("test", 9877, 1), *slowly(("train", 59783, 2))],
)
def test_a_released_checkpoint_gives_its_published_accuracy(run_script, tmp_path, split, right, within):
    outcome = evaluate(run_script, tmp_path, RELEASED, "model=resnet10", "quant.bit=4", f"split={split}")
    assert outcome.code == 0, outcome.err
    evaluation = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert abs(sum(row[i] for i, row in enumerate(evaluation["confusion"])) - right) <= within


@pytest.mark.skipif(not RELEASED.exists(), reason="no released checkpoint at hand")
@pytest.mark.parametrize(
    ("bit", "power", "warned"),
    [(4, 1, False), (3, 1, True), *slowly((5, 1, True), (4, 0, True))],
)
def test_other_levels_than_those_of_the_training_are_noticed(single_thread, capsys, bit, power, warned):
    read_any_trained(str(RELEASED), {"name": "resnet10"}, {"bit": bit, "power": power}, ROOT / "data/mnist")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == warned
    assert ("quant.bit=4 quant.power=1 better than" in said) == warned


@pytest.mark.slow
@pytest.mark.skipif(not RELEASED.exists(), reason="no released checkpoint at hand")
@pytest.mark.parametrize("kind", ["onnx", "packed", "c"])
def test_the_released_checkpoint_leaves_as_integers(run_script, tmp_path, kind):
    arguments = (f"ckpt_path={RELEASED}", "model=resnet10", "quant.bit=4", f"format={kind}")
    outcome = run_script("export.py", *arguments, f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 0, outcome.err
    assert "activation codes of 10,000 images are equal" in outcome.out
    arithmetic = json.loads((tmp_path / "run/export.json").read_text())["arithmetic"]
    assert abs(arithmetic["right_in_floats"] - 9877) <= 1  # measured with the reference implementation; a tie may fall
    assert abs(arithmetic["right"] - 9877) <= arithmetic["differing_predictions"] <= 20
