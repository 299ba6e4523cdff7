"""The parts of experiment=best, each against a computation of its own."""

import json
import shlex
import signal

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from apot_lit.runs.checkpoint import sealed
from apot_lit.training.callbacks import MovingAverage
from apot_lit.training.distillation import Distillation
from tests.integration.test_train_evaluate import assert_same_weights, train, weights  # noqa: F401 - a fixture

BEST = ("experiment=best", "quant.bit=3", "callbacks.reestimated_batch_norm.images=300", "data.eval_batch_size=100")


@pytest.mark.slow
def test_an_interrupted_run_ends_like_an_uninterrupted_one(train, run_script):  # noqa: F811
    whole, _ = train(*BEST, "trainer.max_epochs=3", name="whole")
    stop = ("+callbacks.stop._target_=tests.integration.callbacks.InterruptAtStep", "+callbacks.stop.step=6")
    handler = signal.getsignal(signal.SIGINT)
    try:
        part, outcome = train(*BEST, "trainer.max_epochs=3", *stop, name="part", code=130)
    finally:
        signal.signal(signal.SIGINT, handler)
    command = shlex.split(outcome.err.strip().rpartition(": ")[2])
    resume = [argument for argument in command[2:] if not argument.startswith(("+callbacks", "hydra.run.dir"))]
    outcome = run_script("train.py", *resume)
    assert outcome.code == 0, outcome.err
    for name in ("last", "best"):
        assert_same_weights(whole / f"checkpoints/{name}.ckpt", part / f"checkpoints/{name}.ckpt")
    results = [json.loads((run / "result.json").read_text()) for run in (whole, part)]
    assert results[0]["test_accuracy"] == results[1]["test_accuracy"]


@pytest.mark.slow
def test_checkpoints_hold_the_average_and_what_training_goes_on_from(train, run_script, tmp_path):  # noqa: F811
    directory, _ = train(*BEST)
    checkpoint = torch.load(directory / "checkpoints/last.ckpt", weights_only=True)
    average, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    name = "network.layer1.0.conv1.weight"
    assert not torch.equal(average[name], current[name])
    assert torch.nn.functional.cosine_similarity(average[name].flatten(), current[name].flatten(), dim=0) > 0.9
    outcome = run_script(
        "evaluate.py", f"ckpt_path={directory}/checkpoints/best.ckpt", f"hydra.run.dir={tmp_path}/evaluation"
    )
    assert outcome.code == 0, outcome.err
    evaluation = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    result = json.loads((directory / "result.json").read_text())
    assert evaluation["accuracy"] == pytest.approx(result["test_accuracy"], abs=1e-7)


class _Counting(pl.LightningModule):
    """One weight, which each step sets to the number of steps done."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("batches", torch.tensor(0))

    def training_step(self, batch, _):
        self.batches += 1
        return -self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def train_dataloader(self):
        return DataLoader(torch.zeros(40, 1))


def test_the_average_is_the_one_of_its_formula(tmp_path):
    module, decay = _Counting(), 0.8
    callback = MovingAverage(decay)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module)
    expected = 1.0  # the first step is taken over
    for step in range(1, 40):
        d = min(decay, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * (step + 1)
    assert module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_batch_norms_are_those_of_the_training_images(train):  # noqa: F811
    from apot_lit.data.datamodule import build_datamodule
    from apot_lit.training.classifier import QuantClassifier

    directory, _ = train(*BEST, "trainer.max_epochs=1")
    classifier = QuantClassifier.load_from_checkpoint(directory / "checkpoints/best.ckpt", map_location="cpu")
    datamodule = build_datamodule(classifier.config)
    loader = iter(datamodule.eval_loader("train"))
    means = []

    def note_mean(_module, _inputs, output):
        means.append(output.double().mean((0, 2, 3)))

    seen = classifier.network.conv1.register_forward_hook(note_mean)
    classifier.network.train()
    saved = classifier.network.bn1.running_mean.clone()
    with torch.no_grad():
        for _ in range(3):  # 300 images in batches of 100
            classifier.network(next(loader)[0])
    seen.remove()
    assert (saved - torch.stack(means).mean(0)).abs().max() < 1e-4  # means of three batches differ by 1e-2


@pytest.mark.slow
def test_thresholds_start_from_data_but_not_when_resuming(train):  # noqa: F811
    callback = "+callbacks.initial._target_=apot_lit.training.callbacks.InitialThresholds"
    frozen = ("quant.bit=3", "optimizer.lr=0", "optimizer.alpha_lr=0")
    alpha = "network.layer2.0.conv1.act_quantizer.raw_alpha"
    plain, _ = train(*frozen, "trainer.max_epochs=1", name="plain")
    assert weights(plain / "checkpoints/last.ckpt")[alpha] == 6.0
    first, _ = train(*frozen, callback, "trainer.max_epochs=1", name="first")
    path = first / "checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert 0 < checkpoint["state_dict"][alpha] != 6.0
    checkpoint["state_dict"][alpha] = torch.tensor(7.0)
    torch.save(sealed(checkpoint), path)
    resumed, _ = train(*frozen, callback, "trainer.max_epochs=2", f"ckpt_path={path}")
    assert weights(resumed / "checkpoints/last.ckpt")[alpha] == 7.0


@pytest.mark.slow
def test_a_run_is_resumed_with_what_it_was_trained_with(train):  # noqa: F811
    usual = ("quant.bit=3", "scheduler=cosine", "callbacks=best", "trainer.max_epochs=1", "data.eval_batch_size=100")
    directory, _ = train(*usual, name="first")
    for changed, said in (
        ("scheduler=constant", "with scheduler.name=cosine"),
        ("scheduler.warmup=0.5", "with scheduler.warmup=0.0"),
        ("trainer.max_epochs=2", "with trainer.max_epochs=1, which scheduler=cosine depends on"),
        ("~callbacks.moving_average", "with callbacks.moving_average=apot_lit.training.callbacks.MovingAverage"),
        ("callbacks.moving_average.decay=0.5", "with callbacks.moving_average.decay=0.998"),
        ("callbacks.best_checkpoint.monitor=val/loss", "with callbacks.best_checkpoint.monitor=val/acc"),
        ("callbacks.best_checkpoint.mode=min", "with callbacks.best_checkpoint.mode=max"),
        ("+callbacks.mine._target_=apot_lit.training.callbacks.InitialThresholds", "without callbacks.mine"),
    ):
        path = directory / "checkpoints/last.ckpt"
        arguments = [old for old in usual if old.partition("=")[0] != changed.partition("=")[0]]
        _, outcome = train(*arguments, changed, f"ckpt_path={path}", code=2)
        (line,) = outcome.err.strip().splitlines()
        assert line.endswith(f"ckpt_path={path}: was trained {said}, to resume it give the same"), line


def test_distillation_loss_is_the_one_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    images, logits, taught = (torch.randn(5, 3, generator=generator) for _ in range(3))
    labels = torch.tensor([0, 1, 2, 0, 1])
    weight, temperature = 0.3, 2.5
    teacher = nn.Linear(3, 3)
    teacher.forward = lambda x: taught
    found = Distillation(teacher, weight, temperature).loss(images, logits, F.cross_entropy(logits, labels))
    expected = 0.0
    for row in range(5):
        p = (taught[row] / temperature).exp() / (taught[row] / temperature).exp().sum()
        q = (logits[row] / temperature).exp() / (logits[row] / temperature).exp().sum()
        soft = (p * (p / q).log()).sum()
        hard = -(logits[row].exp() / logits[row].exp().sum()).log()[labels[row]]
        expected += ((1 - weight) * hard + weight * temperature**2 * soft) / 5
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
def test_a_teacher_teaches_and_stays_out_of_the_checkpoint(train):  # noqa: F811
    teacher, _ = train("quant.bit=32", "data.batch_size=16", name="teacher")
    checkpoint = f"distill_from={teacher}/checkpoints/last.ckpt"
    # All weight on the teacher: the labels are never seen, and yet digits are learned.
    student, _ = train(checkpoint, "distill_weight=1", "data.batch_size=16", name="student")
    assert json.loads((student / "result.json").read_text())["test_accuracy"] > 0.5
    assert weights(student / "checkpoints/last.ckpt").keys() - weights(teacher / "checkpoints/last.ckpt").keys() == {
        name for name in weights(student / "checkpoints/last.ckpt") if name.endswith("raw_alpha")
    }
    for wrong, part in (
        ("distill_weight=1.5", "from 0 to 1"),
        ("distill_temperature=0", "from 0.01 to 100"),
    ):
        _, outcome = train(checkpoint, wrong, name="refused", code=2)
        outcome.assert_refused([wrong.partition("=")[0].removeprefix("data."), part])
