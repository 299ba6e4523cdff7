"""A mistyped directory of the data never starts a download; asked for, a download changes no result."""

import pytest
import torch
import torchvision

from apot_lit.config.registration import plain
from apot_lit.runs.protocol import protocol
from tests.configs.test_ranges import composed
from tests.conftest import ROOT, slowly

CHECKPOINT = f"ckpt_path={ROOT}/tests/runs/version_0_1_0/whole_pixel_mean.ckpt"
SCRIPTS = {
    "train.py": ("data.", ["model=resnet10", "model.width=1"]),
    "evaluate.py": ("", [CHECKPOINT, "trainer=cpu"]),
    "export.py": ("", [CHECKPOINT, "format=packed"]),
    "report.py": ("", []),
    "benchmark.py": ("data.", ["models=[resnet10]", "width=1", "device=cpu"]),
}


class NoMNIST:
    """Stands for torchvision's: notes what it is asked for and has nothing."""

    def __init__(self, **asked):
        self.asked.append(asked)
        raise RuntimeError("no route to host")


@pytest.fixture
def asked(monkeypatch):
    calls = []
    monkeypatch.setattr(NoMNIST, "asked", calls, raising=False)
    monkeypatch.setattr(torchvision.datasets, "MNIST", NoMNIST)
    return calls


@pytest.mark.parametrize("script", [*(name for name in SCRIPTS if name != "report.py"), *slowly("report.py")])
def test_only_what_is_asked_for_is_downloaded(run_script, tmp_path, asked, script):
    section, arguments = SCRIPTS[script]
    given = [*arguments, f"{section}data_dir={tmp_path}/mnits", f"hydra.run.dir={tmp_path}/run"]
    outcome = run_script(script, *given)
    outcome.assert_refused([f"{tmp_path}/mnits", "no MNIST files", "download=true"])
    assert not asked
    outcome = run_script(script, *given, f"{section}download=true", *(["overwrite=true"] if "export" in script else []))
    outcome.assert_refused([f"{tmp_path}/mnits", "download failed: no route to host"])
    assert asked
    assert all(call["download"] for call in asked)


def test_evaluation_on_downloaded_files(run_script, tmp_path, monkeypatch):
    class Blank:
        def __init__(self, root, train, download):
            assert download
            assert not train
            self.data = torch.zeros(10_000, 28, 28, dtype=torch.uint8)
            self.targets = torch.zeros(10_000, dtype=torch.int64)

    monkeypatch.setattr(torchvision.datasets, "MNIST", Blank)
    given = [CHECKPOINT, "trainer=cpu", f"data_dir={tmp_path}", "download=true", f"hydra.run.dir={tmp_path}/run"]
    outcome = run_script("evaluate.py", *given)
    assert outcome.code == 0, outcome.err
    assert "of 10000 images" in outcome.out


def test_a_download_sets_no_result_apart():
    assert protocol(plain(composed("train", ["data.download=true"]))) == protocol(plain(composed("train", [])))
