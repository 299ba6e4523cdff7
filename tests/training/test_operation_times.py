"""The table of the costliest operations, against operations whose number is known."""

import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from apot_lit.training.callbacks import OperationTimes
from tests.conftest import ROOT


class Products(pl.LightningModule):
    """Three large products of matrices a step, forward, and none backward that isn't needed."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def training_step(self, batch, _index):
        large = torch.ones(256, 256)
        for _ in range(3):
            large = (large @ large).sigmoid()
        return (self.scale * large.mean() * batch[0].mean()).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(callback, steps, tmp_path):
    trainer = pl.Trainer(
        callbacks=[callback], max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Products(), DataLoader(TensorDataset(torch.ones(64, 1)), batch_size=1))


@pytest.mark.slow
def test_torch_says_nothing_of_its_own_work(tmp_path):
    """In a process of its own: whether torch does is settled when it profiles for the first time."""
    code = (
        "from pathlib import Path; from apot_lit.training.callbacks import OperationTimes; "
        "from tests.training.test_operation_times import fit; "
        f"fit(OperationTimes(skip=2, steps=4, rows=5), 8, Path({str(tmp_path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "costliest operations" in done.stdout
    assert "profiler" not in done.stdout + done.stderr


def test_counts_are_those_of_one_step(tmp_path, capsys):
    fit(OperationTimes(skip=2, steps=4, rows=5), 8, tmp_path)
    table = capsys.readouterr().out.strip().splitlines()
    assert table[0].startswith("costliest operations of 4 steps on the CPU")
    assert max(map(len, table)) <= 100
    assert len(table) == 3 + 5
    rows = {line.split()[0]: line.split() for line in table[3:]}
    assert rows["aten::mm"][-1] == "3.0"
    shares = [float(line.split()[-4]) for line in table[3:]]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100


def test_a_short_training_says_that_nothing_was_measured(tmp_path, capsys):
    fit(OperationTimes(skip=10), 5, tmp_path)
    assert "no step was measured" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["skip", "steps", "rows"])
def test_counts_are_at_least_one(option):
    with pytest.raises(ValueError, match=option):
        OperationTimes(**{option: 0})
