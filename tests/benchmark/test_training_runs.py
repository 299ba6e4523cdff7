"""benchmark=trainings: times by made-up clocks, one tiny training, and what is refused."""

import json

import pytest

from apot_lit.benchmark import training_runs
from apot_lit.benchmark.training_runs import run_times
from apot_lit.errors import UserError
from tests.conftest import ROOT, slowly


def test_a_run_is_start_epochs_and_end():
    """The process starts at 100 s; epochs of 30, 20 and 22 s end at 180 s; it ends at 184 s."""
    times = run_times([30.0, 20.0, 22.0], 100.0, 180.0, 184.0, images=4200, epochs=25)
    assert times["epoch_seconds"] == [30.0, 20.0, 22.0]
    assert (times["start_seconds"], times["end_seconds"]) == (8.0, 4.0)
    assert times["images_per_second"] == pytest.approx(200.0)  # 4,200 in the 21 s between both later epochs
    assert times["minutes"] == pytest.approx((8 + 25 * 21 + 4) / 60)
    assert times["epochs"] == 25


def test_a_single_epoch_counts_itself():
    assert run_times([10.0], 0.0, 12.0, 13.0, images=500, epochs=1)["images_per_second"] == pytest.approx(50.0)


def test_an_epoch_without_time_is_refused():
    with pytest.raises(UserError, match=r"^data.train_images: an epoch takes no time"):
        run_times([1.0, 0.0], 0.0, 2.0, 3.0, images=1, epochs=1)


@pytest.mark.parametrize(("share", "warned"), [(0.05, False), (0.051, True), (None, False)])
def test_other_work_is_told_in_one_line(capsys, share, warned):
    training_runs._tell("reference resnet10", {"images_per_second": 1234.5, "minutes": 2.0}, share)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "reference resnet10: 1,234 images/s, 2.0 min a run"
    assert lines[1:] == (["warning: 5.10 % of the processors' time was other work's"] if warned else [])


@pytest.mark.slow
def test_writes_what_a_training_took(run_script, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    outcome = run_script(
        *("benchmark.py", "benchmark=trainings", "trainings=[best]", "models=[resnet10]", "width=2", "device=cpu"),
        *("apot_bits=[3]", "data.train_images=1500", f"hydra.run.dir={tmp_path}/run"),
    )
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "run/trainings.json").read_text())
    assert {"versions", "commit", "hardware"} <= result.keys()
    assert [(row["recipe"], row["model"], row["scheme"], row["bit"]) for row in result["rows"]] == [
        ("best", "resnet10", "float", 32),
        ("best", "resnet10", "apot", 3),
    ]
    for row in result["rows"]:
        assert (row["epochs"], row["images"], row["width"], len(row["epoch_seconds"])) == (25, 1500, 2, 2)
        assert row["images_per_second"] == pytest.approx(1500 / row["epoch_seconds"][1])
        assert row["start_seconds"] > 0
        assert row["end_seconds"] > 0
        assert row["other_work"] is None or 0 <= row["other_work"] <= 1
        assert row["hardware"]["threads"] == 1
    assert "| Network " in outcome.out
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.suffix == ".ckpt") == []


CASES = [
    (["trainings=[bets]"], ["experiment=bets", "best", "reference"]),
    (["epochs=0"], ["epochs=0", "at least 1"]),
    (["models=[resnet19]"], ["resnet19", "resnet18"]),
]
LONGER = [
    (["trainings=[reference,bets]"], ["experiment=bets", "best"]),
    (["trainings=[best,ptq]"], ["trainings=['best', 'ptq']", "ptq trains no epoch"]),
]


@pytest.mark.parametrize(
    ("arguments", "parts"), [*CASES, *slowly(*LONGER)], ids=[" ".join(case[0]) for case in [*CASES, *LONGER]]
)
def test_one_line_before_anything_is_trained(run_script, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.setattr(training_runs, "_measured", lambda *_: pytest.fail("a training was started"))
    outcome = run_script("benchmark.py", "benchmark=trainings", *arguments, f"hydra.run.dir={tmp_path}/run")
    outcome.assert_refused(parts)


def test_a_training_that_fails_says_why(monkeypatch, tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import sys; print('error: data.data_dir: no digits', file=sys.stderr); sys.exit(2)")
    monkeypatch.setattr(training_runs, "CLONE", tmp_path)
    training = training_runs.Training("best resnet10 quant.bit=4", (), {})
    with pytest.raises(UserError, match=r"^the training best resnet10 quant.bit=4 failed: data.data_dir: no digits$"):
        training_runs._measured(training, 2)


def test_the_program_is_there():
    assert training_runs._program()[1] == str(ROOT / "train.py")
    assert (ROOT / "train.py").is_file()
