"""What version 0.1.0 wrote, before networks had an input of their own, is read as it was."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from apot_lit.data.embedded import load_idx_pair
from apot_lit.stored.packed import load_packed, save_packed
from apot_lit.stored.trained import read_trained
from tests.conftest import ROOT

OLD = Path(__file__).parent / "version_0_1_0"
EVALUATIONS = json.loads((OLD / "evaluations.json").read_text())
names = pytest.mark.parametrize("name", ["whole_pixel_mean", "rational_mean"])


@names
def test_old_checkpoints_classify_every_image_as_before(name):
    images, labels = load_idx_pair(ROOT / "data/mnist", "test")
    network = read_trained(str(OLD / f"{name}.ckpt")).network.eval()
    with torch.no_grad():
        predicted = torch.cat([network(batch).argmax(1) for batch in images.split(1000)])
    wrong = (predicted != labels).nonzero().flatten()
    misclassified = torch.stack([wrong, labels[wrong], predicted[wrong]], 1).tolist()
    assert len(labels) - len(wrong) == EVALUATIONS[name]["right"]
    digest = hashlib.sha256(json.dumps(misclassified).encode()).hexdigest()
    assert digest == EVALUATIONS[name]["misclassified_sha256"]


@names
def test_old_packed_files_are_the_network_and_are_written_as_before(name, tmp_path):
    from safetensors import safe_open

    trained = read_trained(str(OLD / f"{name}.ckpt"))
    images = load_idx_pair(ROOT / "data/mnist", "test")[0][:200]
    with torch.no_grad():
        assert torch.equal(load_packed(OLD / f"{name}.safetensors")(images), trained.network.eval()(images))
    save_packed(trained.network, trained.config, tmp_path / "again.safetensors")
    with safe_open(tmp_path / "again.safetensors", "pt") as new, safe_open(OLD / f"{name}.safetensors", "pt") as old:
        assert json.loads(new.metadata()["layers"]) == json.loads(old.metadata()["layers"])
        assert sorted(new.keys()) == sorted(old.keys())
        for key in old.keys():  # noqa: SIM118 - not a dict
            assert torch.equal(new.get_tensor(key), old.get_tensor(key))


def test_an_old_run_is_resumed(run_script, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / ".hydra").mkdir()
    path = shutil.copy(OLD / "whole_pixel_mean.ckpt", run / "checkpoints/last.ckpt")
    options = ("model=resnet10", "model.width=2", "quant.bit=3", "optimizer.lr=0.05", "callbacks=best", "trainer=cpu")
    data = ("data.train_images=20000", "trainer.max_epochs=2")
    outcome = run_script("train.py", *options, *data, f"ckpt_path={path}")
    assert outcome.code == 0, outcome.err
    result = json.loads((run / "result.json").read_text())
    assert (result["epochs"], result["steps"]) == (2, 2 * 157)
    assert result["test_accuracy"] > EVALUATIONS["whole_pixel_mean"]["right"] / 10_000
