"""An interrupted training names the command that goes on, wherever it ran."""

import sys
from pathlib import Path

import pytest

from apot_lit.training.resume import how_to_go_on


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("train.py", "python train.py"),
        ("/home/me/apot_lit/train.py", "python /home/me/apot_lit/train.py"),
        ("/home/me/.venv/bin/apot-train", "apot-train"),
        ("/home/me/.venv/lib/python3.11/site-packages/submitit/core/_submit.py", "python train.py"),
        ("/home/me/.venv/lib/python3.11/site-packages/ray/_private/workers/default_worker.py", "python train.py"),
    ],
)
def test_the_command_is_that_of_the_training(monkeypatch, program, command):
    monkeypatch.setattr(sys, "argv", [program, "quant.bit=3"])
    said = how_to_go_on(Path("outputs/run/checkpoints/last.ckpt"))
    assert said == f"interrupted; to go on from here: {command} ckpt_path=outputs/run/checkpoints/last.ckpt"
