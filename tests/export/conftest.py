"""Networks that have seen digits: briefly trained, which takes seconds and is done once per kind."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
import yaml

from apot_lit.data.embedded import load_idx_pair
from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import QuantSpec, quantize_model
from tests import conftest
from tests.conftest import ROOT

PIXELS = (33 / 255, 0.3081)
REFERENCE_PIXELS = (0.131, 0.308)
DATA = ROOT / "data/mnist"


@cache
def digits(split="test"):
    return load_idx_pair(DATA, split)


@cache
def trained(bit, power, name="resnet10", stem="reference", width=8, steps=30, pixels=PIXELS, lr=0.05, **options):
    """A network after some steps on real digits, in evaluation mode."""
    torch.manual_seed(0)
    spec = QuantSpec(bit=bit, power=power, **options) if bit != 32 else QuantSpec(bit=32)
    network = quantize_model(ResNet(name, stem=stem, width=width, input=PixelInput(*pixels)), spec)
    return fit(network, steps, lr)


def fit(network, steps, lr=0.05):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    images, labels = digits("train")
    for step in range(steps):
        chosen = slice(64 * step, 64 * (step + 1))
        optimizer.zero_grad()
        F.cross_entropy(network.train()(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    return network.eval()


def save_checkpoint(path, bit, power):
    """Writes the network of `trained` as train.py would."""
    from pytorch_lightning import Trainer

    from apot_lit.config.sections import CosineConfig, SGDConfig
    from apot_lit.training.classifier import QuantClassifier

    data = yaml.safe_load((ROOT / "conf/data/mnist.yaml").read_text())
    config = {
        "seed": 0,
        "model": {"name": "resnet10", "stem": "reference", "width": 4},
        "quant": {"bit": bit, "power": power, "additive": True},
        "data": {**data, "data_dir": str(ROOT / "data/mnist")},
        "optimizer": dict(vars(SGDConfig())),
        "scheduler": dict(vars(CosineConfig())),
    }
    classifier = QuantClassifier(config, network=trained(bit, power, width=4))
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    trainer.strategy.connect(classifier)
    trainer.save_checkpoint(path, weights_only=True)


one_thread = pytest.fixture(autouse=True, scope="package")(conftest.one_thread)
