"""A module for a network, data and Trainer of one's own: 100 classes, colour, no configuration."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from apot_lit.errors import UserError
from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.training.classifier import QuantClassifier
from tests.conftest import ROOT

CLASSES = 100
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9}


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, CLASSES)
    )


def images_and_labels():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(200, 3, 32, 32, generator=generator), torch.arange(200) % CLASSES


@pytest.fixture
def trained(tmp_path):
    network = quantize_model(small_network(), QuantSpec(bit=4))
    classifier = QuantClassifier(network=network, num_classes=CLASSES, optimizer=SGD)
    loader = DataLoader(TensorDataset(*images_and_labels()), batch_size=50)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=2, default_root_dir=tmp_path, enable_checkpointing=False, **quiet)
    trainer.fit(classifier, loader, loader)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    return trainer, classifier, loader, tmp_path / "own.ckpt"


def test_it_trains_tests_and_predicts(trained):
    trainer, classifier, loader, _ = trained
    before = [parameter.clone() for parameter in quantize_model(small_network(), QuantSpec(bit=4)).parameters()]
    after = [parameter.detach() for parameter in classifier.network.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert trainer.current_epoch == 2
    (metrics,) = trainer.test(classifier, loader, verbose=False)
    images, labels = images_and_labels()
    with torch.no_grad():
        logits = torch.cat([classifier.network(batch) for batch in images.split(50)])
    counts = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    for label, answer in zip(labels, logits.argmax(1), strict=True):
        counts[label, answer] += 1
    assert torch.equal(classifier.confusion.compute(), counts)
    assert metrics["test/acc"] == pytest.approx(counts.diag().sum().item() / 200)
    predicted = trainer.predict(classifier, loader)
    assert torch.equal(torch.cat([part["logits"] for part in predicted]), logits)
    assert torch.equal(torch.cat([part["classes"] for part in predicted]), logits.argmax(1))


def test_its_checkpoint_loads_with_the_network(trained):
    _, classifier, _, path = trained
    again = QuantClassifier.load_from_checkpoint(path, network=quantize_model(small_network(), QuantSpec(bit=4)))
    images, _ = images_and_labels()
    with torch.no_grad():
        assert torch.equal(again.eval()(images), classifier.eval()(images))
    assert again.config["optimizer"] == SGD
    assert torch.load(path, weights_only=True)["hyper_parameters"]["num_classes"] == CLASSES


def test_a_scheduler_of_its_own(tmp_path):
    cosine = {"name": "cosine", "min_lr": 0.0}
    network = small_network()
    classifier = QuantClassifier(network=network, num_classes=CLASSES, optimizer=SGD, scheduler=cosine)
    loader = DataLoader(TensorDataset(*images_and_labels()), batch_size=100)
    trainer = pl.Trainer(
        max_epochs=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path, accelerator="cpu"
    )
    trainer.fit(classifier, loader)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_what_can_not_be_loaded_is_said_in_one_line(trained, tmp_path):
    path = trained[3]
    (tmp_path / "junk.ckpt").write_text("junk")
    packed = ROOT / "pretrained/small/resnet10_width8_3bit_apot.safetensors"
    foreign = tmp_path / "code.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"config": print}}, foreign)
    other = {"network": nn.Sequential(nn.Flatten(), nn.Linear(3072, CLASSES))}
    for wrong, given, said in (
        (path, {}, f"checkpoint_path={path}: does not say what its network is; give network=..., as for the training"),
        (path, other, f"checkpoint_path={path}: Error\\(s\\) in loading state_dict"),
        (packed, {}, "is a packed file; read it with apot_lit.read_any_trained"),
        (tmp_path / "junk.ckpt", {}, "is damaged or not a checkpoint"),
        (tmp_path / "none.ckpt", {}, "there is no such file"),
        (foreign, {}, "is damaged or not a checkpoint"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            QuantClassifier.load_from_checkpoint(wrong, **given)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [CLASSES - 1, CLASSES + 1])
def test_another_number_of_logits_is_said_in_one_line(classes):
    classifier = QuantClassifier(network=small_network(), num_classes=classes, optimizer=SGD)
    batch = images_and_labels()[0][:4], torch.zeros(4, dtype=torch.int64)
    for step in (classifier.training_step, classifier.validation_step, classifier.test_step):
        with pytest.raises(UserError, match=rf"num_classes={classes}: the network gives \[4, 100\] for 4 images, must"):
            step(batch, 0)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ({"lr": 0.1}, "optimizer.name=None: must be one of sgd, adamw"),
        ({"name": "sgd"}, "optimizer.lr: a value is needed"),
        ({**SGD, "momentm": 1}, "optimizer=sgd: .*unexpected keyword argument 'momentm'"),
    ],
)
def test_a_wrong_optimizer_is_said_in_one_line(optimizer, said):
    classifier = QuantClassifier(network=small_network(), num_classes=CLASSES, optimizer=optimizer)
    with pytest.raises(UserError, match=said):
        classifier.configure_optimizers()


@pytest.mark.parametrize("classes", [-1, 0, 1])
def test_too_few_classes(classes):
    with pytest.raises(UserError, match=f"num_classes={classes}: must be an integer of at least 2"):
        QuantClassifier(network=small_network(), num_classes=classes, optimizer=SGD)


@pytest.mark.parametrize("left_out", ["network", "num_classes", "optimizer"])
def test_what_is_needed_is_said(left_out):
    needed = {"network": small_network(), "num_classes": CLASSES, "optimizer": SGD}
    del needed[left_out]
    with pytest.raises(UserError, match="needs config, or else network, num_classes and optimizer"):
        QuantClassifier(**needed)


def test_nothing_is_given_twice():
    config = {"optimizer": SGD, "scheduler": {"name": "constant"}, "data": {}}
    with pytest.raises(UserError, match="num_classes can't be given beside config"):
        QuantClassifier(config, small_network(), num_classes=CLASSES)
