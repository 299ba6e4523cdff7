"""docs/reliability.md names tests that exist, with as many cases as it says."""

import ast
import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.conftest import ROOT

ROWS = re.findall(r"\| `(tests/[\w/]+\.py)::(\w+)` \| (\d+) \|$", (ROOT / "docs/reliability.md").read_text(), re.M)


def test_every_row_names_a_test():
    assert len(ROWS) > 30
    for file, name, _ in ROWS:
        functions = (node for node in ast.walk(ast.parse((ROOT / file).read_text())) if hasattr(node, "name"))
        assert name in {function.name for function in functions}, f"{file}::{name}"


@pytest.mark.slow
def test_every_row_says_how_many_cases_there_are():
    files = sorted({file for file, _, _ in ROWS})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-o",
        "addopts=",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        *files,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    collected = Counter(line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line)
    assert {f"{file}::{name}": int(count) for file, name, count in ROWS} == {
        test: collected[test] for test in (f"{file}::{name}" for file, name, _ in ROWS)
    }
