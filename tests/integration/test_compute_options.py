"""compile, channels_last, precision and threads change how a network is computed, not what is written."""

import json

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


def test_channels_last_and_threads(run_script, tmp_path):
    _, plain, _ = run(run_script, tmp_path / "plain")
    threads = torch.get_num_threads()
    try:
        _, other, result = run(run_script, tmp_path / "other", "trainer.channels_last=true", "trainer.threads=1")
    finally:
        torch.set_num_threads(threads)
    assert result["hardware"]["threads"] == 1
    assert_close(plain, other)


def test_bfloat16_learns(run_script, tmp_path):
    _, state, result = run(run_script, tmp_path / "run", "trainer.precision=bf16-mixed")
    assert all(value.dtype != torch.bfloat16 for value in state.values())
    assert 0 <= result["test_accuracy"] <= 1


def test_without_a_compiler_it_says_so_and_trains(run_script, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler"):
        run(run_script, tmp_path / "run", "trainer.compile=true")


@pytest.mark.slow
def test_compiled_training_writes_the_same_names(run_script, tmp_path):
    _, plain, _ = run(run_script, tmp_path / "plain")
    _, compiled, _ = run(run_script, tmp_path / "compiled", "trainer.compile=true", "trainer.channels_last=true")
    assert not any("_orig_mod" in name for name in compiled)
    assert_close(plain, compiled)
