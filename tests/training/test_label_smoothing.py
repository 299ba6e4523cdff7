"""Label smoothing against its formula written out, in training and nowhere else."""

import math

import pytest
import torch
from torch import nn

from apot_lit.errors import UserError
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.distillation import Distillation

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -2.0]])
LABELS = torch.tensor([0, 2])
OPTIMIZER = {"name": "sgd", "lr": 0.1}


class _Trainer:
    log_every_n_steps = 0


def classifier(distillation=None, **options):
    config = {"data": {"classes": 3, "batch_size": 2}, "optimizer": OPTIMIZER, "scheduler": {"name": "constant"}}
    made = QuantClassifier({**config, **options}, nn.Identity(), distillation)
    made._trainer = _Trainer()
    return made


def by_hand(smoothing):
    losses = []
    for logits, label in zip(LOGITS.double().tolist(), LABELS.tolist(), strict=True):
        total = sum(math.exp(one) for one in logits)
        surprises = [-math.log(math.exp(one) / total) for one in logits]
        losses.append((1 - smoothing) * surprises[label] + smoothing * sum(surprises) / 3)
    return sum(losses) / 2


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_the_training_loss_is_the_one_of_its_formula_and_others_are_plain(smoothing):
    made = classifier(label_smoothing=smoothing)
    assert float(made.training_step((LOGITS, LABELS), 0)) == pytest.approx(by_hand(smoothing), rel=1e-6)
    made.validation_step((LOGITS, LABELS), 0)
    made.test_step((LOGITS, LABELS), 0)
    for loss in (made.val_loss, made.test_loss):
        assert float(loss.compute()) == pytest.approx(by_hand(0), rel=1e-6)


def test_a_configuration_without_it_and_0_are_the_plain_cross_entropy_bit_for_bit():
    plain = nn.functional.cross_entropy(LOGITS, LABELS)
    for made in (classifier(), classifier(label_smoothing=0.0)):
        assert torch.equal(made.training_step((LOGITS, LABELS), 0), plain)


def test_the_label_part_of_a_distillation_is_smoothed():
    made = classifier(Distillation(nn.Identity(), 0.25, 2.0), label_smoothing=0.2)  # the teacher says the same
    assert float(made.training_step((LOGITS, LABELS), 0)) == pytest.approx(0.75 * by_hand(0.2), rel=1e-6)


@pytest.mark.parametrize("wrong", [1, -0.1, math.nan, "much", None, True])
def test_what_is_no_share_is_refused_in_one_line(wrong):
    with pytest.raises(UserError) as caught:
        classifier(label_smoothing=wrong)
    assert str(caught.value) == f"label_smoothing={wrong}: must be a number from 0 to less than 1"
