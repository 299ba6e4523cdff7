"""Imports point one way, so that the quantisers can be lifted out and used alone."""

import ast

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "apot_lit"
QUANT_ORDER = [
    "levels",
    "spec",
    "alpha",
    "convolution",
    "normalize",
    "native",
    "functional",
    "quantizers",
    "layers",
    "convert",
    "histogram",
    "initialize",
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def top_level(path):
    return {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", sorted((PACKAGE / "quant").glob("*.py")), ids=lambda path: path.stem)
def test_quantisers_need_torch_alone_and_import_in_order(path):
    assert top_level(path) <= {"apot_lit", "torch"} | set(__import__("sys").stdlib_module_names)
    own = [name for name in imports(path) if name.startswith("apot_lit")]
    assert all(name.startswith("apot_lit.quant.") for name in own)
    for name in own:
        assert QUANT_ORDER.index(name.rpartition(".")[2]) < [*QUANT_ORDER, "__init__"].index(path.stem)


def test_level_sets_need_no_torch():
    assert "torch" not in top_level(PACKAGE / "quant/levels.py")


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").glob("*.py")), ids=lambda path: path.stem)
def test_models_know_no_quantisation(path):
    assert not {"pytorch_lightning", "hydra", "omegaconf"} & top_level(path)
    assert not [name for name in imports(path) if name.startswith("apot_lit.") and ".models" not in name]


@pytest.mark.parametrize("path", sorted((PACKAGE / "export").glob("*.py")), ids=lambda path: path.stem)
def test_exports_know_neither_lightning_nor_hydra(path):
    assert not {"pytorch_lightning", "hydra", "omegaconf"} & top_level(path)
    if path.name != "run.py":  # what export.py calls reads checkpoints and data
        allowed = ("errors", "quant", "models", "export", "results")
        own = [name for name in imports(path) if name.startswith("apot_lit.")]
        assert all(name.split(".")[1] in allowed for name in own)


def test_only_two_modules_know_hydra():
    knowing = {path.name for path in PACKAGE.rglob("*.py") if {"hydra", "omegaconf"} & top_level(path)}
    assert knowing == {"config.py", "cli.py"}


def test_files_are_short():
    long = {path.name: n for path in PACKAGE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 270}
    assert not long
