"""Every program of examples/ runs by itself, in an empty directory, and gives what it says it gives."""

import os
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from apot_lit import Network, load_digits, load_packed
from apot_lit.integer import Executor, to_integers
from apot_lit.quant.cpu.library import find_c_compiler
from apot_lit.stored import read_packed
from tests.conftest import ROOT
from tests.quant import exact

DIRECTORY = ROOT / "examples"
NAMES = sorted(path.name for path in DIRECTORY.glob("*.py"))
SMALL = ROOT / "pretrained/small/resnet10_width8_3bit_apot.safetensors"


@pytest.fixture
def example(tmp_path):
    """Runs an example in an empty directory, on one core; returns what it printed, having written nothing there."""
    (tmp_path / "empty").mkdir()

    def run(name, *arguments):
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "http_proxy": "nowhere", "https_proxy": "nowhere"}
        command = [sys.executable, str(DIRECTORY / name), *arguments]
        done = subprocess.run(command, cwd=tmp_path / "empty", env=os.environ | own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert list((tmp_path / "empty").iterdir()) == []
        return done.stdout

    return run


def test_a_quantiser_alone(example):
    said = example("quantiser_alone.py")
    levels = exact.levels("apot", 3)
    shown = re.search(r"levels of 3 bits: (.+)", said)[1].split(", ")
    assert tuple(map(Fraction, shown)) == levels
    rows = re.findall(r"x = *(\S+)  ->  code +(\d+)  ->  (\S+)", said)
    inputs = [Fraction(x) for x, _, _ in rows]
    nearest = [exact.BruteForce(levels).nearest(min(x / 2, Fraction(1)), signed=False) for x in inputs]
    assert [int(code) for _, code, _ in rows] == [level * 10 for level in nearest]
    assert [float(value) for _, _, value in rows] == [pytest.approx(float(2 * level), abs=0.005) for level in nearest]
    inside = [x / 2 for x in inputs]
    parts = [0 if r < 0 else 1 if r > 1 else level - r for r, level in zip(inside, nearest, strict=True)]
    assert [float(value) for value in re.search(r"alpha (\S+), by the formula (\S+)", said).groups()] == [
        pytest.approx(float(sum(parts)), abs=6e-5)
    ] * 2
    gradient = re.search(r"gradient of x +\[(.+)\]", said)[1].split(", ")
    assert [float(value) for value in gradient] == [float(0 <= r <= 1) for r in inside]


def test_the_picture_of_levels(example, tmp_path):
    said = example("plot_levels.py", "--output", str(tmp_path / "pictures"))
    for scheme in exact.SCHEMES:
        terms, denominator = re.search(rf"^{scheme} +\((.+)\) / (\d+)$", said, re.MULTILINE).groups()
        sums = {0}
        for term in re.findall(r"\{(.+?)\}", terms):
            sums = {one + int(entry) for one in sums for entry in term.split(", ")}
        assert tuple(Fraction(one, int(denominator)) for one in sorted(sums)) == exact.levels(scheme, 4)
    picture = np.asarray(Image.open(tmp_path / "pictures/levels.png").convert("RGB")).astype(int)
    blue = (abs(picture - [31, 119, 180]).sum(2) < 30).any(0)  # of any row: the 32 levels of 5 bits are the finest
    assert 20 < (np.diff(blue.astype(int)) == 1).sum() < 60


@pytest.mark.slow
def test_torchvision_in_a_plain_loop(example):
    said = example("torchvision_without_lightning.py")
    assert "WeightQuantizer(bit=4, scheme=apot" in said
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", said)]
    assert losses[-1] < losses[0]
    assert float(re.search(r"test accuracy (\S+)", said)[1]) > 0.7


@pytest.mark.slow
def test_a_trainer_of_ones_own(example, tmp_path):
    said = example("own_trainer.py", "--output", str(tmp_path / "own"))
    accuracy = float(re.search(r"test accuracy (\S+)", said)[1])
    assert accuracy > 0.9
    assert int(re.search(r"network classifies (\d+) right", said)[1]) == round(350 * accuracy)
    checkpoint = torch.load(tmp_path / "own/own.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["num_classes"] == 7
    assert checkpoint["state_dict"]["network.13.weight"].shape == (7, 216)


@pytest.mark.slow
def test_from_a_checkpoint_to_c(example, tmp_path):
    if find_c_compiler() is None:
        pytest.skip("needs a C compiler")
    said = example("checkpoint_to_c.py", "--output", str(tmp_path / "made"))
    assert "equal logits: 1000 of 1000" in said
    images, labels = (part[:1000] for part in load_digits("test"))
    network = read_packed(SMALL).network
    expected = Executor(to_integers(network, load_digits("train")[0][:500]))(images).numpy()
    assert np.array_equal(Network(tmp_path / "made/net_c")(images.numpy()), expected)
    assert str(expected[0].tolist()) in said
    right = np.mean(load_packed(SMALL)(images).numpy().argmax(1) == labels.numpy())  # its own integers
    assert float(re.search(r"accuracy of the C program: (\S+)", said)[1]) == pytest.approx(right, abs=0.005)
    assert right > 0.95


def test_they_are_short_and_say_how_to_run_them():
    assert len(NAMES) == 5
    documented = (ROOT / "docs/examples.md").read_text()
    for name in NAMES:
        text = (DIRECTORY / name).read_text()
        assert len(text.splitlines()) <= 80
        assert f"    python examples/{name}" in text.split('"""')[1]
        assert f"\npython examples/{name}\n" in documented
        assert f"](../examples/{name})" in documented
