"""Names of the directories of a multirun."""

import sys

import pytest

from apot_lit.config.registration import job_dir


@pytest.mark.parametrize(
    ("command", "job", "name"),
    [
        (
            ["-m", "quant.bit=2,3", "quant.power=0,1"],
            ["quant.bit=3", "quant.power=0", "seed=1"],
            "3_bit-3_power-0",
        ),
        (["-m", "model=resnet10,resnet18"], ["model=resnet18"], "3_model-resnet18"),
        (["-m", "optimizer.lr=choice(0.1,0.2)", "+x=[1,2]"], ["optimizer.lr=0.2", "+x=[1,2]"], "3_lr-0.2"),
        (["-m", "seed=range(0,3)", "data.split_seed=1,2"], ["seed=1", "data.split_seed=2"], "3_seed-1_split_seed-2"),
        (["-m", "a.lr=1,2", "b.lr=3,4"], ["a.lr=1", "b.lr=3"], "3_a.lr-1_b.lr-3"),
        (["-m", "init_from='a=(1)/ü','b'"], ["init_from='a=(1)/ü'"], "3_init_from-a-1"),
        (["-m", "seed=1"], ["seed=1"], "3"),
        ([], ["seed=1"], "3"),
    ],
)
def test_a_directory_says_what_varies(monkeypatch, command, job, name):
    monkeypatch.setattr(sys, "argv", ["train.py", *command])
    assert job_dir(3, job) == name


def test_a_name_is_not_too_long_for_a_file_system(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", f"init_from=a,{'b' * 500}"])
    name = job_dir(12, [f"init_from={'b' * 500}"])
    assert name.startswith("12_init_from-bbb")
    assert len(name) <= 100
