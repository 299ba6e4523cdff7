"""Networks of other makers from the command line: trained, evaluated, resumed, tabled."""

import json

import pytest
import torch

from apot_lit.quant import quant_layers
from apot_lit.runs.protocol import protocol, row
from apot_lit.stored.trained import read_trained

SMALL = [
    *("data.train_images=64", "data.batch_size=32", "data.val_split=64", "trainer.max_epochs=1", "trainer.threads=1"),
    *("trainer.accelerator=cpu", "data.eval_batch_size=100", "trainer.limit_test_batches=2", "quant.bit=4"),
]
OWN = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, width: int = 4) -> None:
        layers = [nn.Conv2d(1, width, 3, stride=4), nn.Hardswish(), nn.Conv2d(width, width, 3, stride=4), nn.ReLU()]
        super().__init__(*layers, nn.Flatten(), nn.Linear(4 * width, 10))
"""


def trained(run_script, tmp_path, *arguments):
    outcome = run_script("train.py", *SMALL, *arguments, f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 0, outcome.err
    return tmp_path / "run/checkpoints/last.ckpt", outcome


def accuracy_of(run_script, tmp_path, checkpoint):
    given = (f"ckpt_path={checkpoint}", "batch_size=100", "trainer.limit_test_batches=2", "trainer.threads=1")
    outcome = run_script("evaluate.py", *given, "trainer.accelerator=cpu", f"hydra.run.dir={tmp_path}/evaluation")
    assert outcome.code == 0, outcome.err
    return json.loads((tmp_path / "evaluation/evaluation.json").read_text())


@pytest.mark.slow
def test_mobilenet_v2_is_trained_and_comes_back(run_script, tmp_path):
    checkpoint, outcome = trained(run_script, tmp_path, "model=torchvision", "model.name=mobilenet_v2")
    assert "mobilenet_v2 of torchvision" in outcome.out
    read = read_trained(str(checkpoint))
    signed = [name for name, layer in quant_layers(read.network) if getattr(layer.act_quantizer, "signed", False)]
    assert len(signed) == 17
    assert set(signed) < set(read.config["inputs"]["signed"])
    result = json.loads((tmp_path / "run/result.json").read_text())
    evaluation = accuracy_of(run_script, tmp_path, checkpoint)
    assert evaluation["confusion"] == result["confusion"]
    assert evaluation["loss"] == pytest.approx(result["test_loss"], rel=1e-6)


@pytest.mark.slow
def test_a_network_of_ones_own(run_script, tmp_path):
    (tmp_path / "my_networks.py").write_text(OWN)  # scripts run in this directory
    choice = ("model=custom", "model._target_=my_networks.Net", "model.name=Net", "model.width=5")
    checkpoint, outcome = trained(run_script, tmp_path, *choice)
    assert "Net of my_networks.Net" in outcome.out
    read = read_trained(str(checkpoint))
    assert read.config["inputs"] == {"signed": ["net.0", "net.2"], "idle": [], "integers": True}
    layers = dict(quant_layers(read.network))
    assert layers["net.2"].act_quantizer.signed
    assert layers["net.2"].weight.shape == (5, 5, 3, 3)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert accuracy_of(run_script, tmp_path, checkpoint)["confusion"] == result["confusion"]

    resumed = run_script("train.py", f"ckpt_path={checkpoint}", "trainer.max_epochs=2")
    assert resumed.code == 0, resumed.err
    longer = json.loads((tmp_path / "run/result.json").read_text())
    assert longer["epochs"] == 2
    assert longer["config"]["model"] == result["config"]["model"]
    run_script("train.py", f"ckpt_path={checkpoint}", *choice[:3], "model.width=6").assert_refused(
        ["was trained with model.width=5"]
    )

    config = result["config"]
    assert row(config).model == "Net"
    others = [{**config, "model": {**config["model"], **change}} for change in ({"width": 6}, {"enlarge": 32})]
    assert len({protocol(one) for one in (config, *others)}) == 3
    assert protocol({**config, "seed": 1, "inputs": {}}) == protocol(config)


def test_float_weights_are_a_start(run_script, tmp_path):
    (tmp_path / "my_networks.py").write_text(OWN)
    choice = ("model=custom", "model._target_=my_networks.Net")
    checkpoint, _ = trained(run_script, tmp_path, *choice, "quant.bit=32")
    floats = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert not any("alpha" in name for name in floats)
    outcome = run_script("train.py", *SMALL, *choice, f"init_from={checkpoint}", f"hydra.run.dir={tmp_path}/few")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["model=torchvision"], ["model.name: a value is needed"]),
        (["model=torchvision", "model.name=mobilnet_v2"], ["model.name=mobilnet_v2", "near it are mobilenet_v2"]),
        (["model=torchvision", "model.name=vgg11", "model.enlarge=0"], ["model.enlarge=0", "from 1 to 1024"]),
        (["model=custom"], ["model._target_"]),
        (["model=custom", "model._target_=nowhere.Net"], ["model._target_=nowhere.Net: cannot be imported"]),
        (
            ["model=torchvision", "model.name=resnet18", "sweep=quick"],
            ["model=torchvision: a sweep chooses this itself"],
        ),
    ],
    ids=lambda value: " ".join(value)[:50],
)
def test_mistakes_end_in_one_line(run_script, tmp_path, arguments, parts):
    sweep = "sweep=quick" in arguments
    small, place = (SMALL[:-1], "hydra.sweep.dir") if sweep else (SMALL, "hydra.run.dir")
    run_script("train.py", *small, *arguments, f"{place}={tmp_path}/run").assert_refused(parts)
