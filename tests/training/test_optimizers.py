"""Parameter groups and learning rates against what they should be, step by step."""

import copy
import math

import pytest
import torch
from torch import nn

from apot_lit.errors import UserError
from apot_lit.models import ResNet
from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.training.optimizers import build_optimizer, build_scheduler, parameter_groups


def test_every_parameter_is_in_the_group_of_its_kind():
    network = quantize_model(ResNet("resnet10", width=4), QuantSpec(bit=3))
    groups = {group["name"]: group for group in parameter_groups(network, 0.1, 5e-4, 0.0, 0.01, None)}
    names = {
        group: {name for name, p in network.named_parameters() if any(p is other for other in groups[group]["params"])}
        for group in groups
    }
    assert sum(len(group["params"]) for group in groups.values()) == len(list(network.parameters()))
    assert all(name.endswith("raw_alpha") for name in names["alphas"])
    assert len(names["alphas"]) == 22  # two for each of 8 convolutions in blocks and 3 shortcuts
    assert {"bn1.weight", "bn1.bias", "fc.bias"} <= names["norms"]
    assert len(names["norms"]) == 2 * 12 + 1
    assert {"conv1.weight", "fc.weight"} <= names["weights"]
    assert len(names["weights"]) == 13
    rates = {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()}
    assert rates == {"weights": (0.1, 5e-4), "norms": (0.1, 0.0), "alphas": (0.01, 5e-4)}


def test_without_rates_of_their_own_all_groups_are_alike():
    groups = parameter_groups(nn.Sequential(nn.Linear(2, 2)), 0.1, 5e-4, None, None, None)
    assert [(group["name"], group["lr"], group["weight_decay"]) for group in groups] == [
        ("weights", 0.1, 5e-4),
        ("norms", 0.1, 5e-4),
    ]


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25])
def test_warmup_and_cosine(warmup):
    epochs, steps = 10, 200
    optimizer = build_optimizer(
        nn.Linear(2, 2),
        {"name": "sgd", "lr": 0.3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
    )
    config = {"name": "cosine", "warmup": warmup, "min_lr": 0.01}
    built = build_scheduler(optimizer, config, steps, epochs)
    assert built["interval"] == "step"
    warm = round(warmup * steps)
    for step in range(steps):
        if step < warm:
            expected = 0.3 * (1 + step * warm / warm) / (warm + 1)
        else:
            expected = 0.01 + (0.3 - 0.01) * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-6), step
        optimizer.step()
        built["scheduler"].step()


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_the_cosine_has_a_step_after_the_longest_warmup(steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = build_scheduler(optimizer, {"name": "cosine", "warmup": 0.999, "min_lr": 0.0}, steps, 1)["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.1 * (step + 1) / steps for step in range(steps)])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("config", [{"name": "sgd", "momentum": 0.8}, {"name": "adamw", "betas": [0.8, 0.99]}])
def test_onecycle_leaves_the_momentum_alone(config):
    optimizer = build_optimizer(nn.Linear(2, 2), {"lr": 0.3, "weight_decay": 0.0, **config})
    scheduler = build_scheduler(optimizer, {"name": "onecycle"}, 20, 1)["scheduler"]
    rates = []
    for _ in range(20):
        group = optimizer.param_groups[0]
        assert (group["momentum"] if config["name"] == "sgd" else group["betas"][0]) == 0.8
        rates.append(group["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(0.3, rel=0.05)
    assert rates[-1] < rates[0] < 0.1


@pytest.mark.parametrize("config", [{"name": "sgd", "momentum": 0.9}, {"name": "adamw"}], ids=str)
def test_a_loaded_state_fits_parameters_of_another_memory_format(config):
    """Against torch's own update, one parameter and one operation after the other."""
    torch.manual_seed(0)
    config = {"lr": 0.1, "weight_decay": 0.01, **config}
    weight, gradients = torch.randn(4, 3, 3, 3), torch.randn(2, 4, 3, 3, 3)
    plain = nn.Conv2d(3, 4, 3, bias=False)
    plain.weight.data.copy_(weight)
    groups = parameter_groups(plain, config["lr"], config["weight_decay"], None, None, None)
    options = {key: value for key, value in config.items() if key not in ("name", "lr", "weight_decay")}
    reference = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[config["name"]](groups, foreach=False, **options)
    before, after = copy.deepcopy(plain), copy.deepcopy(plain).to(memory_format=torch.channels_last)
    first, second = build_optimizer(before, config), build_optimizer(after, config)
    for network, optimizer, gradient in ((plain, reference, 0), (plain, reference, 1), (before, first, 0)):
        network.weight.grad = gradients[gradient].clone()
        optimizer.step()
    second.load_state_dict(first.state_dict())
    after.load_state_dict(before.state_dict())
    after.weight.grad = gradients[1].contiguous(memory_format=torch.channels_last)
    second.step()
    torch.testing.assert_close(after.weight, plain.weight)


def test_a_training_too_short_for_onecycle_is_refused_in_words():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(UserError, match="2 steps are too few"):
        build_scheduler(optimizer, {"name": "onecycle", "pct_start": 0.5}, 2, 1)
