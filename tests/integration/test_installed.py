"""A wheel in an environment of its own brings configurations, digits and commands, and needs no clone."""

import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

LEFT_OUT = (".git", ".venv", ".uv", "outputs", "build", "dist", "site", "__pycache__", "*.egg-info", ".*_cache")
DIGITS = {f"{split}-{part}-ubyte.xz" for split in ("train", "t10k") for part in ("images-idx3", "labels-idx1")}
COMMANDS = ("train", "evaluate", "export", "predict", "hardware", "benchmark", "report", "search")
TINY = ("--config-dir=mine", "experiment=smoke", "model=my_model", "trainer.threads=1")
MEGABYTES = 20

pytestmark = pytest.mark.slow


def build(source, kind):
    """Has setuptools build a wheel, an sdist or an editable wheel, as an installer would, without the network."""
    code = f"from setuptools.build_meta import build_{kind} as build; print(build('{source.parent}'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return source.parent / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the working tree, for a build leaves things there."""
    source = tmp_path_factory.mktemp("clone") / "apot_lit"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return source


@pytest.fixture(scope="module")
def wheel(clone):
    return build(clone, "wheel")


def environment(directory, wheel):
    """A new virtual environment with the wheel, which sees the libraries of this one but not its apot_lit."""
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    install = [directory / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    return directory / "bin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel):
    return environment(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture
def call(tmp_path):
    """Runs a program in an empty directory but for a user's configuration, without anything of this process."""
    group = tmp_path / "mine/model"
    group.mkdir(parents=True)
    (group / "my_model.yaml").write_text("defaults: [resnet]\nname: resnet10\nwidth: 4\n")

    def run(*command, code=0, **variables):
        left_out = ("PYTHONPATH", "PROJECT_ROOT", "HYDRA_FULL_ERROR")
        own = {key: value for key, value in os.environ.items() if key not in left_out} | {"OMP_NUM_THREADS": "1"}
        finished = subprocess.run(
            command, cwd=tmp_path, env=own | variables, capture_output=True, text=True, timeout=500
        )
        assert finished.returncode == code, finished.stderr
        return finished

    return run


def names(tree, pattern):
    return {path.relative_to(tree).as_posix() for path in tree.rglob(pattern)}


def test_the_wheel_holds_what_commands_read_and_no_tests(clone, wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert archive.read("apot_lit/conf/train.yaml") == (ROOT / "conf/train.yaml").read_bytes()
    within = {path.relative_to(clone).as_posix() for path in (clone / "apot_lit").rglob("*") if path.is_file()}
    conf = {f"apot_lit/conf/{name}" for name in names(ROOT / "conf", "*.yaml")}
    digits = {f"apot_lit/digits/{name}" for name in DIGITS | {"README.md"}}
    assert held == within | conf | digits | {"apot_lit/results/published.csv"}
    assert wheel.stat().st_size < MEGABYTES * 1e6


def test_an_sdist_gives_the_same_wheel(clone, wheel, tmp_path):
    sdist = build(clone, "sdist")
    assert sdist.stat().st_size < MEGABYTES * 1e6
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert (source / "train.py").is_file()
    assert not (source / "tests").exists()
    with zipfile.ZipFile(build(source, "wheel")) as again, zipfile.ZipFile(wheel) as first:
        assert {one.filename: one.CRC for one in again.infolist()} == {
            one.filename: one.CRC for one in first.infolist()
        }


def test_from_training_to_an_export_in_a_directory_of_ones_own(installed, call, tmp_path):
    trained = call(installed / "apot-train", *TINY)
    assert "resnet10, width 4" in trained.stdout
    (run,) = (tmp_path / "outputs/train").iterdir()
    checkpoint = f"ckpt_path={run}/checkpoints/best.ckpt"
    evaluated = call(installed / "apot-evaluate", checkpoint, "trainer=cpu", "trainer.threads=1")
    assert f"{tmp_path}/outputs/evaluate/" in evaluated.stdout
    call(installed / "apot-export", checkpoint, "format=packed", "output=network.safetensors")
    call(installed / "apot-report", "results_dir=outputs/train")
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "outputs", "network.safetensors"}
    # What only a clone has.
    for command, option in (("report", "results"), ("evaluate", "pretrained")):
        given = () if command == "report" else (f"ckpt_path={option}/resnet18_3bit_apot.safetensors",)
        refused = call(installed / f"apot-{command}", *given, code=2).stderr
        assert len(refused.splitlines()) == 1
        assert f"{option}/ comes with a clone of the repository only" in refused


def test_two_processes_are_started_by_the_command(installed, call, tmp_path):
    call(installed / "apot-train", *TINY, "trainer=ddp_cpu", "trainer.devices=2")
    (run,) = (tmp_path / "outputs/train").iterdir()
    # 2,000 images in batches of 128: 1,000 of them for each process.
    assert json.loads((run / "result.json").read_text())["steps"] == math.ceil(1000 / 128)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_command(installed, call, command):
    lines = call(installed / f"apot-{command}", "--help").stdout.splitlines()
    assert lines[0] == f"apot-{command} [option=value ...]"
    assert not any("python" in line for line in lines)


def test_an_editable_installation_is_the_clone(clone, call, tmp_path, tmp_path_factory):
    editable = environment(tmp_path_factory.mktemp("editable"), build(clone, "editable"))
    for program in ((editable / "apot-train",), (sys.executable, clone / "train.py")):
        config = yaml.safe_load(call(*program, "--cfg", "job", "--resolve", "paths.output_dir=here").stdout)
        assert config["paths"]["root_dir"] == str(clone)
        assert config["data"]["data_dir"] == str(clone / "data/mnist")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_options_of_a_command(installed, call):
    path = f"{installed}:{os.environ['PATH']}"
    assert complete(call, "apot-train quant=a", "apot-train", PATH=path) == "quant=apot"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_options_of_a_script(clone, call):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    assert complete(call, "python train.py quant=u", f"cd {clone}; python train.py", PATH=path) == "quant=uniform"


def complete(call, line, program, **variables):
    """What bash offers for the last word of a line, after the installation that docs/install.md describes."""
    *directory, program = program.rpartition("; ")
    script = (
        f'{"".join(directory)} eval "$({program} -sc install=bash)"; COMP_LINE="{line}" COMP_POINT={len(line)} '
        f'COMP_CWORD={len(line.split()) - 1}; hydra_bash_completion; echo "${{COMPREPLY[@]}}"'
    )
    return call("bash", "--norc", "-c", script, **variables).stdout.strip()
