"""Training on a GPU: compilation with CUDA graphs, resuming, the best recipe's callbacks, mixed precision."""

import json

import pytest
import torch

from tests.training.test_batch_norm import statistics

pytestmark = pytest.mark.cuda

# 8 full batches an epoch.
SMALL = ["trainer=gpu", "model=resnet10", "model.width=8", "data.train_images=1024", "data.val_split=1000",
         "trainer.log_every_n_steps=1"]  # fmt: skip


@pytest.fixture
def train(run_script, tmp_path):
    def run(name, *arguments):
        outcome = run_script("train.py", *SMALL, f"hydra.run.dir={tmp_path}/{name}", *arguments)
        assert outcome.code == 0, outcome.err
        result = json.loads((tmp_path / name / "result.json").read_text())
        assert result["hardware"]["device"] == torch.cuda.get_device_name(0)
        state = torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        return result, state

    return run


def trained(state):
    """All trained numbers of a checkpoint in one vector."""
    weights = state["state_dict"]
    names = sorted(name for name in weights if weights[name].is_floating_point() and "running" not in name)
    assert all(weights[name].dtype == torch.float32 for name in names)
    return torch.cat([weights[name].flatten().cpu() for name in names])


def test_compiled_with_cuda_graphs_it_is_the_same_training(train):
    plain, _ = train("plain", "trainer.max_epochs=2")
    torch._dynamo.utils.counters.clear()
    compiled, state = train("compiled", "trainer.max_epochs=2", "trainer.compile=true")
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] >= 1
    assert counters["inductor"]["cudagraph_skips"] == 0
    assert not any("_orig_mod" in name for name in state["state_dict"])
    assert compiled["history"]["train/loss"] == pytest.approx(plain["history"]["train/loss"], rel=0.03)
    assert plain["history"]["train/loss"][1] < 0.9 * plain["history"]["train/loss"][0]


def test_a_resumed_run_ends_like_an_uninterrupted_one(train, tmp_path):
    _, first = train("part", "trainer.max_epochs=1")
    halfway = trained(first)
    whole, expected = train("whole", "trainer.max_epochs=2")
    result, resumed = train("part", "trainer.max_epochs=2", f"ckpt_path={tmp_path}/part/checkpoints/last.ckpt")
    assert (result["epochs"], result["steps"]) == (whole["epochs"], whole["steps"]) == (2, 16)
    # Not bit by bit: sums on a GPU may come in another order each time.
    assert (trained(resumed) - trained(expected)).norm() < 0.3 * (trained(expected) - halfway).norm()
    assert result["history"]["train/loss"] == pytest.approx(whole["history"]["train/loss"], rel=0.02)


@pytest.mark.parametrize("val_split", [1000, 0])
def test_the_callbacks_of_the_best_recipe(train, run_script, tmp_path, val_split):
    arguments = ("callbacks=best", f"data.val_split={val_split}", "data.eval_batch_size=1024", "trainer.max_epochs=2")
    result, _ = train("best", *arguments)
    saved, measured = statistics(result["best_checkpoint"])
    torch.testing.assert_close(saved, measured, rtol=0.01, atol=0.001)
    where = f"hydra.run.dir={tmp_path}/evaluation"
    outcome = run_script("evaluate.py", f"ckpt_path={result['best_checkpoint']}", "trainer=cpu", where)
    assert outcome.code == 0, outcome.err
    evaluation = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert evaluation["accuracy"] == pytest.approx(result["test_accuracy"], abs=0.002)
    assert evaluation["loss"] == pytest.approx(result["test_loss"], rel=0.01)


def test_bfloat16_trains_float32_weights(train):
    plain, _ = train("plain", "trainer.max_epochs=2")
    result, state = train("bfloat16", "trainer.max_epochs=2", "trainer.precision=bf16-mixed")
    assert trained(state).isfinite().all()
    assert result["history"]["train/loss"] == pytest.approx(plain["history"]["train/loss"], rel=0.1)
    assert result["history"]["train/loss"][1] < 0.9 * result["history"]["train/loss"][0]
