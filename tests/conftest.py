"""Fixtures shared by all tests."""

import os
import runpy
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

ROOT = Path(__file__).parent.parent


if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers share the cores


def slowly(*values: Any) -> list[Any]:
    """Parameters of a test that is slow with them; a tuple holds those of several names."""
    several = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*each, marks=pytest.mark.slow) for each in several]


def one_thread() -> Iterator[None]:
    """Body of a fixture for tiny tensors: a second thread costs ten times what it saves when the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass
class Outcome:
    """What a script did."""

    code: int
    out: str
    err: str

    def assert_refused(self, parts: list[str]) -> None:
        """The script said what is wrong in one line that holds these parts, and exited with 2."""
        assert self.code == 2, self.err
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        for part in parts:
            assert part in lines[0]
        assert "Traceback" not in self.out


@pytest.fixture
def run_script(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Runs a script of the project in this process, as ``python <script> <arguments>`` would, in ``tmp_path``."""

    def run(script: str, *arguments: str) -> Outcome:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(ROOT / script), *arguments])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        monkeypatch.setenv("PROJECT_ROOT", str(ROOT))
        GlobalHydra.instance().clear()
        capfd.readouterr()
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
