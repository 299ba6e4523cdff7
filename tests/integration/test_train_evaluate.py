"""train.py and evaluate.py from end to end on real digits, small and short."""

import json
import math
import re
import shlex
import signal
from itertools import product

import pytest
import torch

from tests.conftest import slowly

TINY = [
    "model=resnet10",
    "model.width=4",
    "data.train_images=512",
    "data.val_split=1000",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
]


@pytest.fixture
def train(run_script, tmp_path):
    def run(*arguments, name="run", code=0):
        directory = tmp_path / name
        outcome = run_script("train.py", *TINY, f"hydra.run.dir={directory}", *arguments)
        assert outcome.code == code, outcome.err
        return directory, outcome

    return run


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def assert_same_weights(a, b):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_training_writes_what_it_promises_and_evaluation_agrees(train, run_script, tmp_path):
    directory, outcome = train("seed=0")
    result = json.loads((directory / "result.json").read_text())
    assert result["splits"] == {"train": 512, "val": 1000, "test": 10000}
    assert result["epochs"] == 2
    assert result["steps"] == 8
    assert result["config"]["model"]["name"] == "resnet10"
    assert result["config"]["seed"] == 0
    assert result["parameters"] == sum(
        p.numel()
        for n, p in weights(directory / "checkpoints/best.ckpt").items()
        if "running" not in n and "num_batches" not in n and "confusion" not in n
    )
    for key in ("versions", "commit", "hardware", "wall_seconds", "train_accuracy", "val_accuracy", "test_accuracy"):
        assert key in result
    for path in re.findall(r"^  (/.*)$", outcome.out, re.MULTILINE):
        assert (tmp_path / path).exists()
    assert str(directory / "result.json") in outcome.out
    assert "=" not in str(directory / "checkpoints" / "best.ckpt")

    for split in ("test", "val", "train"):
        evaluation_dir = tmp_path / f"evaluation_{split}"
        outcome = run_script(
            "evaluate.py",
            f"ckpt_path={directory}/checkpoints/best.ckpt",
            f"split={split}",
            "batch_size=333",
            f"hydra.run.dir={evaluation_dir}",
        )
        assert outcome.code == 0, outcome.err
        evaluation = json.loads((evaluation_dir / "evaluation.json").read_text())
        assert evaluation["accuracy"] == pytest.approx(result[f"{split}_accuracy"], abs=1e-7)
        assert evaluation["loss"] == pytest.approx(result[f"{split}_loss"], rel=1e-4)
        confusion = torch.tensor(evaluation["confusion"])
        assert confusion.sum() == result["splits"][split] == evaluation["images"]
        assert confusion.trace().item() / evaluation["images"] == pytest.approx(evaluation["accuracy"], abs=1e-6)
    assert "alpha weight" in outcome.out
    assert (evaluation_dir / "confusion.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_seed_decides_everything_and_zero_is_a_seed(train):
    first, _ = train("seed=0", name="first")
    torch.rand(7)  # leaves the global generator elsewhere
    second, _ = train("seed=0", name="second")
    other, _ = train("seed=1", name="other")
    assert_same_weights(first / "checkpoints/last.ckpt", second / "checkpoints/last.ckpt")
    with pytest.raises(AssertionError):
        assert_same_weights(first / "checkpoints/last.ckpt", other / "checkpoints/last.ckpt")


@pytest.mark.parametrize("debug", ["fast", *slowly("overfit", "profile")])
def test_debugging_runs_end_with_a_result(run_script, tmp_path, debug):
    network = ("model=resnet10", "model.width=4", "trainer.accelerator=cpu")
    outcome = run_script("train.py", *network, f"debug={debug}", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "result.json").read_text())
    images = sum(map(sum, result["confusion"]))
    assert images == (1000 if debug == "overfit" else 2000)
    assert len(result["misclassified"]) == images - sum(row[label] for label, row in enumerate(result["confusion"]))
    if debug == "overfit":
        assert max(result["history"]["train/acc"]) == 1


@pytest.mark.slow
def test_ctrl_c_says_how_to_resume_and_the_resumed_run_ends_like_an_uninterrupted_one(train, run_script):
    common = ("scheduler=onecycle", "data.flip=true", "trainer.max_epochs=3", "trainer.log_every_n_steps=1")
    whole, _ = train(*common, name="whole")
    stop = ("+callbacks.stop._target_=tests.integration.callbacks.InterruptAtStep", "+callbacks.stop.step=6")
    handler = signal.getsignal(signal.SIGINT)
    try:
        part, outcome = train(*common, *stop, name="part", code=130)
    finally:
        signal.signal(signal.SIGINT, handler)
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1
    assert (part / "train.log").read_text().splitlines()[-1][20:] == lines[0]
    first_rows = (part / "metrics.csv").read_text()

    command = shlex.split(lines[0].rpartition(": ")[2])
    assert command[0] == "python"
    assert command[2:] == [f"ckpt_path={part}/checkpoints/last.ckpt"]  # a plain path is not quoted
    resume = [argument for argument in command[2:] if not argument.startswith(("+callbacks", "hydra.run.dir"))]
    outcome = run_script("train.py", *resume)
    assert outcome.code == 0, outcome.err
    assert_same_weights(whole / "checkpoints/last.ckpt", part / "checkpoints/last.ckpt")
    assert_same_weights(whole / "checkpoints/best.ckpt", part / "checkpoints/best.ckpt")
    assert (part / "metrics.csv").read_text().startswith(first_rows)
    columns = [
        [line.split(",")[2:] for line in (run / "metrics.csv").read_text().splitlines()] for run in (whole, part)
    ]
    assert columns[0] == columns[1]  # all but the number of the epoch and its seconds
    assert len(columns[0]) == 1 + 3
    results = [json.loads((run / "result.json").read_text()) for run in (whole, part)]
    assert results[0]["test_accuracy"] == results[1]["test_accuracy"]


def test_resuming_refuses_another_network(train):
    directory, _ = train("trainer.max_epochs=1")
    _, outcome = train("quant.bit=3", f"ckpt_path={directory}/checkpoints/last.ckpt", name="other", code=2)
    assert "quant.bit=5" in outcome.err


@pytest.mark.slow
def test_progressive_initialisation_from_full_precision_down(train):
    start, _ = train("quant.bit=32", "trainer.max_epochs=1", name="float")
    for bit in (5, 2):
        directory, _ = train(
            f"quant.bit={bit}",
            f"init_from={start}/checkpoints/last.ckpt",
            "optimizer.lr=0",
            "trainer.max_epochs=1",
            name=f"bit{bit}",
        )
        before, after = weights(start / "checkpoints/last.ckpt"), weights(directory / "checkpoints/last.ckpt")
        for name, value in after.items():
            if name.endswith(".weight"):
                assert torch.equal(value, before[name]), name
        start = directory
    assert any(name.endswith("raw_alpha") for name in after)


def test_init_from_another_architecture_is_refused(train):
    directory, _ = train("trainer.max_epochs=1")
    _, outcome = train("model.width=8", f"init_from={directory}/checkpoints/last.ckpt", name="other", code=2)
    assert "of another shape" in outcome.err
    assert "conv1.weight is [4, 1, 7, 7] in the file and [8, 1, 7, 7] here" in outcome.err


def test_without_validation_the_last_checkpoint_is_tested(train):
    directory, _ = train("data.val_split=0", "trainer.max_epochs=1")
    result = json.loads((directory / "result.json").read_text())
    assert result["splits"]["val"] == 0
    assert "val_accuracy" not in result
    assert result["best_checkpoint"].endswith("last.ckpt")
    assert not (directory / "checkpoints/best.ckpt").exists()


def test_a_loss_that_is_not_a_number_stops_names_the_step_and_keeps_the_last_checkpoint(train):
    directory, outcome = train("trainer.max_epochs=1")
    good = (directory / "checkpoints/last.ckpt").read_bytes()
    _, outcome = train(
        "trainer.max_epochs=4",
        "optimizer.lr=0.01",
        f"ckpt_path={directory}/checkpoints/last.ckpt",
        "+callbacks.poison._target_=tests.integration.callbacks.PoisonAtStep",
        "+callbacks.poison.step=6",
        code=2,
    )
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1
    assert "step 7 (epoch 2)" in lines[0]
    assert "last.ckpt" in lines[0]
    assert (directory / "checkpoints/last.ckpt").read_bytes() == good


def test_multirun_gives_every_job_its_seed_its_directory_and_one_table(run_script, tmp_path):
    outcome = run_script(
        "train.py", "-m", *TINY, "trainer.max_epochs=1", "quant.bit=2,4", "quant.power=0,1",
        f"hydra.sweep.dir={tmp_path}/sweep",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    names = [f"bit-{bit}_power-{power}" for bit, power in product((2, 4), (0, 1))]
    results = [json.loads((tmp_path / "sweep" / name / "result.json").read_text()) for name in names]
    assert [(r["config"]["quant"]["bit"], r["config"]["quant"]["power"]) for r in results] == [
        (2, 0), (2, 1), (4, 0), (4, 1),
    ]  # fmt: skip
    table = outcome.out.rpartition("model ")[2]
    assert re.findall(r"^resnet10 .* (\S+)$", table, re.MULTILINE) == names
    assert (tmp_path / "sweep/results.csv").read_text().count("\n") == 1 + 4
    # Two-bit weights and initial seeds are the same whatever power says: only activations differ.
    alone = run_script("train.py", *TINY, "trainer.max_epochs=1", "quant.bit=4", "quant.power=1",
                       f"hydra.run.dir={tmp_path}/alone")  # fmt: skip
    assert alone.code == 0
    assert_same_weights(tmp_path / "alone/checkpoints/last.ckpt", tmp_path / f"sweep/{names[3]}/checkpoints/last.ckpt")


def test_a_failing_job_does_not_keep_the_others_from_running(run_script, tmp_path):
    outcome = run_script("train.py", "-m", *TINY, "trainer.max_epochs=1", "quant.bit=9,4",
                         f"hydra.sweep.dir={tmp_path}/sweep")  # fmt: skip
    assert outcome.code == 2
    assert "quant.bit=9" in outcome.err
    assert (tmp_path / "sweep/bit-4/result.json").exists()


@pytest.mark.parametrize("damage", ["truncated", "foreign", "pickle", "empty", "other_keys"])
def test_damaged_checkpoints_are_refused_in_one_line(run_script, tmp_path, damage):
    path = tmp_path / "x.ckpt"
    if damage == "truncated":
        torch.save({"state_dict": {"a": torch.zeros(1000)}}, path)
        path.write_bytes(path.read_bytes()[:1500])
    elif damage == "foreign":
        path.write_text("not a checkpoint at all\n")
    elif damage == "pickle":
        torch.save({"state_dict": {}, "code": math.sin, "module": torch.nn.Linear(1, 1)}, path)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        torch.save({"weights": torch.zeros(3)}, path)
    for script in ("evaluate.py", "train.py"):
        outcome = run_script(script, f"ckpt_path={path}", f"hydra.run.dir={tmp_path}/run")
        assert outcome.code == 2
        assert len(outcome.err.strip().splitlines()) == 1
        assert str(path) in outcome.err


def test_evaluation_needs_a_checkpoint_and_a_known_split(run_script, tmp_path):
    outcome = run_script("evaluate.py", f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 2
    assert "ckpt_path" in outcome.err
    outcome = run_script("evaluate.py", "ckpt_path=x", "split=training", f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 2
    assert "train, val, test" in outcome.err


@pytest.mark.parametrize("plus", ["", "+"])
def test_any_option_of_lightnings_trainer_is_handed_through(train, plus):
    options = (
        "sync_batchnorm=true",
        "val_check_interval=0.5",
        "max_time=00:01:00:00",
        "min_epochs=2",
        "benchmark=true",
    )
    directory, _ = train(*(f"{plus}trainer.{option}" for option in options), "trainer.overfit_batches=2")
    result = json.loads((directory / "result.json").read_text())
    assert (result["epochs"], result["steps"]) == (2, 4)  # two batches an epoch
    assert result["config"]["trainer"]["val_check_interval"] == 0.5
    assert result["config"]["trainer"]["max_time"] == "00:01:00:00"


@pytest.mark.slow
@pytest.mark.parametrize("profiler", ["simple", "advanced", "pytorch"])
def test_a_profile_is_that_of_the_training_and_ends_with_a_result(train, profiler):
    directory, outcome = train("trainer.max_epochs=1", "model.width=1", f"trainer.profiler={profiler}")
    assert (directory / "result.json").exists()
    assert "Traceback" not in outcome.err
    assert "FIT Profiler Report" in outcome.out + outcome.err
    assert "TEST Profiler Report" not in outcome.out + outcome.err


@pytest.mark.slow
def test_a_training_ends_in_time(train):
    directory, _ = train("trainer.max_epochs=1000", "trainer.max_time=00:00:00:05", "data.train_images=64")
    assert 1 <= json.loads((directory / "result.json").read_text())["epochs"] < 1000


def test_without_loggers_it_trains(train):
    directory, _ = train("logger=none", "trainer.max_epochs=1")
    assert (directory / "result.json").exists()
    assert not (directory / "metrics").exists()


@pytest.mark.parametrize(("bit", "scheme"), [(8, "apot"), *slowly((6, "apot"), (7, "apot"), (8, "uniform"))])
def test_wide_networks_learn(train, bit, scheme):
    directory, _ = train(
        f"quant={scheme}", f"quant.bit={bit}", "data.train_images=2048", "model.width=8", "optimizer.lr=0.05"
    )
    result = json.loads((directory / "result.json").read_text())
    assert result["train_loss"] < 1.5  # chance is ln 10 = 2.3
    assert result["train_accuracy"] > 0.5


def test_the_smoke_experiment_ends_with_a_table(run_script, tmp_path):
    outcome = run_script("train.py", "experiment=smoke", f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["splits"]["train"], result["epochs"], result["config"]["model"]["name"]) == (2000, 1, "resnet18")
    assert re.search(r"^resnet18 +5 +apot ", outcome.out, re.MULTILINE)
