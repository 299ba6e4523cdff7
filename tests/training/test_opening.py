"""What a training says while it runs: the lines before its first step, and those of its progress."""

import re

import pytest
import torch

from apot_lit.runs.text import duration

TINY = ["model=resnet10", "model.width=2", "data.train_images=384", "data.val_split=100", "trainer.accelerator=cpu",
        "data.eval_batch_size=100", "trainer.limit_test_batches=1", "data.batch_size=64"]  # fmt: skip


@pytest.fixture
def lines(run_script, tmp_path):
    def run(*arguments):
        outcome = run_script("train.py", *TINY, f"hydra.run.dir={tmp_path}/run", *arguments)
        assert outcome.code == 0, outcome.err
        return outcome.out.splitlines()

    return run


def test_the_opening_says_what_is_trained_and_where(lines, tmp_path):
    said = lines("quant.bit=3", "quant.power=0", "seed=7", "trainer.max_epochs=1", "trainer.threads=1", "recipe=mine")
    facts = dict(line.split(maxsplit=1) for line in said[:7])
    # Of a width of 2: 7x7 stem, blocks with 2 to 16 channels and their shortcuts, batch norms, head, and thresholds.
    convolutions = 49 * 2 + 9 * (4 + 4 + 8 + 16 + 32 + 64 + 128 + 256) + (8 + 32 + 128)
    norms = 2 * (2 + 2 * (2 + 4 + 8 + 16) + 4 + 8 + 16)
    parameters = convolutions + norms + 16 * 10 + 10 + 2 * 11
    assert facts["network"] == f"resnet10, width 2, reference stem, {parameters:,} parameters"
    assert facts["quantised"] == "uniform, 3 bits; first layer 8 bits, last 8 bits"
    assert facts["images"] == "384 for training, 100 for validation, 10,000 for the test"
    assert facts["device"].endswith(", 1 thread, channels-last" if torch.backends.mkldnn.is_available() else "thread")
    assert facts["recipe"] == "mine: sgd 0.01, constant, 1 epoch, batches of 64"
    assert facts["seed"] == "7"
    assert facts["output"] == f"{tmp_path}/run"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("quant.bit=32",), "nothing: full precision"),
        (
            ("quant.bit=4", "quant.act_bit=2"),
            "APoT, weights 4 bits, activations 2 bits; first layer 8 bits, last 8 bits",
        ),
    ],
)
def test_the_opening_says_what_is_quantised(lines, arguments, expected):
    (line,) = [line for line in lines("trainer.max_epochs=1", *arguments) if line.startswith("quantised")]
    assert line.split(maxsplit=1)[1] == expected


def test_without_a_terminal_there_is_a_line_for_each_epoch_and_one_now_and_then(lines):
    said = [line for line in lines("trainer.max_epochs=2", "callbacks.progress.line_seconds=0") if line[:6] == "epoch "]
    step = r"epoch {}/2: step {} of 6, loss \d+\.\d{{4}}, acc \d+\.\d\d %, \d+ images/s, .* so far, .* left"
    done = r"epoch {}/2: loss \d+\.\d{{4}}, acc \d+\.\d\d %, val \d+\.\d\d %, \d+ images/s, .* so far, .* left"
    patterns = [
        pattern for epoch in (1, 2) for pattern in (*(step.format(epoch, i) for i in range(1, 6)), done.format(epoch))
    ]
    assert len(said) == len(patterns)
    for line, pattern in zip(said, patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    assert said[-1].endswith(", 0 s left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3599.9, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
