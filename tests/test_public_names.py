"""What ``import apot_lit`` offers, and that it costs nothing until it is used."""

import ast
import re
import subprocess
import sys

import pytest

import apot_lit
from tests.conftest import ROOT


def definitions():
    """Name -> the modules of the package that define it, as read from the source."""
    found = {}
    for path in (ROOT / "apot_lit").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found.setdefault(node.name, set()).add(module)
    return found


@pytest.mark.parametrize("name", apot_lit.__all__)
def test_a_public_name_is_what_its_module_defines(name):
    offered = getattr(apot_lit, name)
    assert offered.__name__ == name
    assert {offered.__module__} == definitions()[name]


def test_an_unknown_name_is_refused_as_everywhere():
    with pytest.raises(AttributeError, match="module 'apot_lit' has no attribute 'quantise_model'"):
        _ = apot_lit.quantise_model
    with pytest.raises(ImportError, match="cannot import name 'quantise_model'"):
        exec("from apot_lit import quantise_model")


def test_import_loads_neither_torch_nor_lightning():
    code = "import sys, apot_lit; print(*{'torch', 'pytorch_lightning', 'hydra', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_quantisers_need_no_lightning():
    code = "import sys; from apot_lit import QuantSpec, quantize_model; print('pytorch_lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.slow
def test_a_type_checker_knows_the_names(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "use.py").write_text(
        "import apot_lit\n" + "".join(f"reveal_type(apot_lit.{name})\n" for name in apot_lit.__all__)
    )
    command = [sys.executable, "-m", "mypy", f"--cache-dir={tmp_path}", "--follow-imports=silent", tmp_path / "use.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    shown = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert len(shown) == len(apot_lit.__all__), done.stdout + done.stderr
    assert not [line for line in shown if '"Any"' in line]


def test_the_documentation_names_them_all():
    rows = re.findall(r"^\| \[(.+?)\]", (ROOT / "docs/api/index.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(apot_lit.__all__)
