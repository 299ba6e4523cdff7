"""compile, channels_last, precision and threads change how a network is computed, not what is written."""

import json
import math

import pytest
import torch

TINY = ["model=resnet10", "model.width=4", "data.train_images=300", "data.val_split=500", "trainer.max_epochs=1",
        "trainer.accelerator=cpu"]  # fmt: skip


def run(run_script, directory, *arguments):
    outcome = run_script("train.py", *TINY, f"hydra.run.dir={directory}", *arguments)
    assert outcome.code == 0, outcome.err
    state = torch.load(directory / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return outcome, state, json.loads((directory / "result.json").read_text())


def assert_close(state, other):
    assert state.keys() == other.keys()
    for name, value in state.items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(other[name], value, rtol=0.02, atol=0.02, msg=name)


def distance(state, other):
    """Euclidean distance of all that was trained."""
    assert state.keys() == other.keys()
    trained = [name for name, value in state.items() if value.is_floating_point() and "running" not in name]
    return math.sqrt(sum(float((state[name] - other[name]).square().sum()) for name in trained))


@pytest.fixture
def plain(run_script, tmp_path):
    """What a run without any of these options trains."""
    return run(run_script, tmp_path / "plain")[1]


@pytest.fixture
def share_of_the_way(run_script, tmp_path, plain):
    """How far a network is from the one of the plain run, as a share of how far that one moved in training.

    1 for a network that learned nothing. Sums in another order flip a few codes, flips make flips in the layers after,
    so that far less than 1 is not to be had except where sums are the same.
    """
    _, start, _ = run(run_script, tmp_path / "start", "optimizer.lr=0")
    return lambda state: distance(state, plain) / distance(plain, start)


def test_threads(run_script, tmp_path, plain, share_of_the_way):
    threads = torch.get_num_threads()
    try:
        _, other, result = run(run_script, tmp_path / "other", "trainer.threads=1")
    finally:
        torch.set_num_threads(threads)
    assert result["hardware"]["threads"] == 1
    assert_close(plain, other)
    assert share_of_the_way(other) < 0.01


@pytest.mark.slow
def test_channels_last(run_script, tmp_path, plain, share_of_the_way):
    _, other, _ = run(run_script, tmp_path / "other", "trainer.channels_last=true")
    assert_close(plain, other)
    assert share_of_the_way(other) < 0.8


@pytest.mark.slow
def test_bfloat16_trains_float32_weights(run_script, tmp_path, share_of_the_way):
    _, state, result = run(run_script, tmp_path / "run", "trainer.precision=bf16-mixed")
    assert all(value.dtype != torch.bfloat16 for value in state.values())
    assert 0 <= result["test_accuracy"] <= 1
    assert share_of_the_way(state) < 0.8


def test_without_a_compiler_it_says_so_and_trains(run_script, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler"):
        run(run_script, tmp_path / "run", "trainer.compile=true")


@pytest.mark.slow
def test_compiled_training_is_the_same_training(run_script, tmp_path, plain, share_of_the_way):
    _, compiled, _ = run(run_script, tmp_path / "compiled", "trainer.compile=true", "trainer.channels_last=true")
    assert not any("_orig_mod" in name for name in compiled)
    assert_close(plain, compiled)
    assert share_of_the_way(compiled) < 0.8
