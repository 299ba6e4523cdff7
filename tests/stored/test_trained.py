"""What version 0.1.0 wrote is read as it was; packed files are read wherever checkpoints are."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from apot_lit.data.embedded import load_idx_pair
from apot_lit.errors import UserError
from apot_lit.integer import Executor, to_integers
from apot_lit.quant import quant_layers
from apot_lit.stored.packed import load_packed, read_packed, save_packed
from apot_lit.stored.trained import read_any_trained, read_trained, read_weights
from tests.conftest import ROOT

OLD = Path(__file__).parent.parent / "runs/version_0_1_0"
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
def test_old_packed_files_are_the_network_in_floats(name):
    images = load_idx_pair(ROOT / "data/mnist", "test")[0][:200]
    path = OLD / f"{name}.safetensors"
    old, trained = read_trained(str(path)), read_trained(str(OLD / f"{name}.ckpt"))
    assert old.integers is None
    with torch.no_grad():
        assert torch.equal(old.network(images), trained.network.eval()(images))
    with pytest.raises(UserError, match=f"^{path}: is of version 1, which has no network of integers; read_packed"):
        load_packed(path)


@names
def test_old_packed_files_become_files_of_today(name, tmp_path):
    old = read_trained(str(OLD / f"{name}.safetensors"))
    images = load_idx_pair(ROOT / "data/mnist", "train")[0][:200]
    integers = to_integers(old.network, images)
    save_packed(old.network, integers, old.config, tmp_path / "new.safetensors")
    new = read_trained(str(tmp_path / "new.safetensors"))
    assert new.config["quant"] == old.config["quant"]
    with torch.no_grad():
        assert torch.equal(new.network(images), old.network(images))
    assert torch.equal(load_packed(tmp_path / "new.safetensors")(images), Executor(integers)(images))


@pytest.fixture
def packed(tmp_path):
    """A network and the packed file of it, with a name that says nothing."""
    config, network, _ = read_trained(str(OLD / "whole_pixel_mean.ckpt"))
    path = tmp_path / "net"
    images = load_idx_pair(ROOT / "data/mnist", "train")[0][:200]
    save_packed(network.eval(), to_integers(network, images), config, path)
    return network, path


def test_packed_files_are_told_by_their_content(packed):
    network, path = packed
    images = load_idx_pair(ROOT / "data/mnist", "test")[0][:50]
    for trained in (read_trained(str(path)), read_any_trained(str(path), None, {"bit": None, "power": 1}, "")):
        with torch.no_grad():
            assert torch.equal(trained.network(images), network(images))
        assert torch.equal(Executor(trained.integers)(images), load_packed(path)(images))
        assert trained.config["model"]["name"] == "resnet10"
        assert "paths" not in trained.config
    with pytest.raises(UserError, match=r"carries its own configuration \(model=resnet10 quant.bit=3\); leave"):
        read_any_trained(str(path), {"name": "resnet10"}, {"bit": None, "power": 1}, "")


@pytest.mark.parametrize("content", [b"", b"12345678{", b"\x80" * 20, b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["x.safetensors", "x.ckpt"])
def test_what_is_no_packed_file_is_refused_by_its_key(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_trained, read_weights):
        with pytest.raises(UserError, match=f"^init_from={path}: is damaged or not a "):
            read(str(path), "init_from")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"seed": "x"}, "its configuration is not as this project writes it (seed"),
        ({"data": {"mean": 33 / 255, "std": 0.3081, "batch_size": -1}}, "batch_size=-1"),
        ({"data": {"mean": 33 / 255, "std": 0.3081, "rotation": 1}}, "rotation"),
    ],
)
def test_a_configuration_that_evaluation_could_not_use(packed, tmp_path, change, part):
    _, path = packed
    config, network, integers = read_packed(path)
    save_packed(network, integers, {**config, **change}, tmp_path / "changed")
    with pytest.raises(UserError) as error:
        read_trained(str(tmp_path / "changed"))
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_statistics_that_are_no_numbers(packed, tmp_path):
    _, path = packed
    config, network, integers = read_packed(path)
    network.bn1.running_var[0] = -1
    save_packed(network, integers, config, tmp_path / "changed")
    with pytest.raises(UserError, match=r"bn1\.running_var holds what is no number"):
        read_trained(str(tmp_path / "changed"))


def test_without_safetensors_one_line_says_what_to_install(packed, monkeypatch):
    from apot_lit.stored import needs

    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^ckpt_path=.*: needs safetensors; install apot-lit\[export\]$"):
        read_trained(str(packed[1]))


SMALL = ["model=resnet10", "model.width=2", "trainer=cpu", "data.train_images=640", "trainer.max_epochs=1"]


@pytest.mark.slow
def test_a_training_starts_from_a_packed_file(run_script, tmp_path, packed):
    """With a learning rate of nearly 0 it ends as the network that was packed, thresholds included."""
    network, path = packed
    still = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "trainer.limit_test_batches=1", "quant.bit=3"]
    outcome = run_script("train.py", *SMALL, *still, f"init_from={path}", f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 0, outcome.err
    trained = read_trained(f"{tmp_path}/run/checkpoints/last.ckpt").network
    for (name, layer), (_, other) in zip(quant_layers(network), quant_layers(trained), strict=True):
        codes, found = layer.weight_quantizer(layer.weight), other.weight_quantizer(other.weight)
        assert torch.equal(codes.values, found.values), name
        assert codes.scale == found.scale
        if name != "conv1" and name != "fc":
            assert float(layer.act_quantizer.alpha) == float(other.act_quantizer.alpha)


def test_a_packed_file_teaches(run_script, tmp_path, packed):
    teacher = f"distill_from={packed[1]}"
    outcome = run_script("train.py", *SMALL, teacher, "trainer.limit_test_batches=1", f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 0, outcome.err


def test_a_packed_file_is_evaluated(run_script, tmp_path, packed):
    network, path = packed
    outcome = run_script("evaluate.py", f"ckpt_path={path}", "trainer=cpu", f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 0, outcome.err
    images, labels = load_idx_pair(ROOT / "data/mnist", "test")
    with torch.no_grad():
        predicted = torch.cat([network(batch).argmax(1) for batch in images.split(1000)])
    right = int((predicted == labels).sum())
    assert f"({right} of 10000 images)" in outcome.out


def test_a_packed_file_can_not_be_resumed(run_script, packed):
    outcome = run_script("train.py", f"ckpt_path={packed[1]}")
    outcome.assert_refused(
        [f"ckpt_path={packed[1]}: is a packed file, which holds no state of a training", "init_from"]
    )


@pytest.mark.slow
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
