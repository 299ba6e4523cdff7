"""Imports point one way, so that rooms can be lifted out and used alone."""

import ast
import re
import subprocess
import sys
from collections import defaultdict

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "apot_lit"
# A room imports only from those before it.
ROOMS = [
    *("errors", "installed", "quant", "models", "graph", "integer", "data", "config", "interop", "runs", "stored"),
    "training",
    *("evaluation", "export", "runtime", "hardware", "predict", "sweep", "benchmark", "report", "search", "cli"),
    *("multirun", "commands"),
]
QUANT_ORDER = [
    *(
        "levels",
        "terms",
        "ranges",
        "per_layer",
        "spec",
        "torchscript",
        "alpha",
        "cpu.convolution",
        "normalize",
        "cpu.library",
        "cpu.native",
        "projection",
    ),
    *(
        "functional",
        "quantizers",
        "channel_thresholds",
        "absorb",
        "attention",
        "signs",
        "sums",
        "cpu.fused",
        "layers",
        "convert",
        "histogram",
        "initialize",
        "rounding",
    ),
]
FRAMEWORKS = {"pytorch_lightning", "hydra", "omegaconf"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imports(path):
    """Every module that a file names in an import statement, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def top_level(path):
    return {name.partition(".")[0] for name in imports(path)}


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def arrows():
    """Pairs of rooms of which the first imports the second, within functions too."""
    found = defaultdict(set)
    for path in MODULES:
        found[room_of(path)] |= {name.split(".")[1] for name in imports(path) if name.startswith("apot_lit.")}
    return {(room, other) for room, others in found.items() for other in others if other != room}


def test_rooms_import_one_way():
    assert {room_of(path) for path in MODULES} == set(ROOMS)
    assert [(a, b) for a, b in arrows() if ROOMS.index(b) > ROOMS.index(a)] == []


def test_modules_import_one_way():
    """No cycle of modules either, also not one that is hidden in functions."""
    graph = {}
    for path in MODULES:
        name = ".".join(["apot_lit", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        graph[name] = {other for other in imports(path) if other.startswith("apot_lit.") and other != name}
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph


def test_the_picture_of_the_house_has_the_arrows_of_the_code():
    drawn = re.findall(r"^ *(\w+) --> (\w+)$", (ROOT / "docs/design.md").read_text(), re.MULTILINE)
    assert len(drawn) == len(set(drawn))
    assert {(reader, read) for read, reader in drawn} == {(a, b) for a, b in arrows() if b != "errors"}


def test_the_description_of_the_house_lists_every_file():
    listed = set(re.findall(r"`([\w/]+\.py)`|\*\*(\w+\.py)\*\*", (ROOT / "docs/design.md").read_text()))
    names = {a or b for a, b in listed}
    within = {
        "/".join(path.relative_to(PACKAGE).parts[-2 if path.parts[-2] in ("callbacks", "cpu") else -1 :])
        for path in MODULES
    }
    assert {name for name in within - names if not name.endswith("__init__.py")} == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "quant").rglob("*.py")), ids=lambda path: path.stem)
def test_quantisers_need_torch_alone_and_import_in_order(path):
    assert top_level(path) <= {"apot_lit", "torch"} | set(sys.stdlib_module_names)
    own = [name for name in imports(path) if name.startswith("apot_lit")]
    assert all(name.startswith("apot_lit.quant.") for name in own)
    place = ".".join(path.relative_to(PACKAGE / "quant").with_suffix("").parts)
    for name in own:
        order = QUANT_ORDER.index(name.removeprefix("apot_lit.quant."))
        assert place.endswith("__init__") or order < QUANT_ORDER.index(place)


def test_level_sets_need_no_torch():
    assert "torch" not in top_level(PACKAGE / "quant/levels.py")


@pytest.mark.parametrize("room", ["quant", "models", "graph", "integer", "stored", "export", "hardware"])
def test_rooms_that_know_neither_lightning_nor_hydra(room):
    for path in (PACKAGE / room).rglob("*.py"):
        assert not FRAMEWORKS & top_level(path), path


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["export.write", "hardware.produce", "report.compose", "stored.trained", "sweep.watch"]
)
def test_what_runs_without_lightning(module):
    """Reading a checkpoint, writing an export, drawing a figure: followed through everything that is imported."""
    code = f"import sys, apot_lit.{module}; print(*{sorted(FRAMEWORKS)} & sys.modules.keys())".replace("[", "{", 1)
    code = code.replace("]", "}", 1)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_command_line_does_not_wait_for_torch_or_lightning():
    code = "import sys, apot_lit.commands; print(*{'torch', 'torchvision', 'pytorch_lightning'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_only_the_configuration_knows_hydra():
    knowing = {path.relative_to(PACKAGE).as_posix() for path in MODULES if {"hydra", "omegaconf"} & top_level(path)}
    config = {f"config/{name}.py" for name in ("choices", "explain", "help", "registration", "instantiate", "places")}
    assert knowing == {*config, "cli.py", "multirun.py", "commands.py"}


def test_files_are_short_and_no_two_have_one_name():
    long = {path.name: n for path in MODULES if (n := len(path.read_text().splitlines())) > 260}
    assert not long
    names = [path.name for path in MODULES if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))
