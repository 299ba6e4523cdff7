"""Every command of the README and of docs/ is one that exists, with keys that exist."""

import re
import shlex

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from apot_lit.config.launchers import with_launcher
from apot_lit.config.registration import register
from apot_lit.errors import UserError
from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(document):
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


COMMANDS = [command for document in DOCUMENTS for command in commands(document)]
SCRIPTS = (
    *("train.py", "search.py", "evaluate.py", "export.py", "predict.py"),
    *("benchmark.py", "report.py", "hardware.py"),
)


def script_calls():
    for command in COMMANDS:
        words = shlex.split(command)
        if words[:2] == ["make", "train"]:
            arguments = "".join(word.removeprefix("ARGS=") for word in words if word.startswith("ARGS="))
            yield command, "train", shlex.split(arguments)
        elif words[0].endswith("python") and words[1] in SCRIPTS:
            yield (
                command,
                words[1].removesuffix(".py"),
                [word for word in words[2:] if word != "-m" and not word.startswith("--")],
            )


CALLS = list(script_calls())
FIRST = commands(ROOT / "README.md")  # what everyone types; to compose those of all documents takes a while


def test_there_are_commands():
    assert len(CALLS) >= 10


@pytest.mark.parametrize(
    ("command", "name", "overrides"),
    [pytest.param(*call, id=call[0], marks=() if call[0] in FIRST else pytest.mark.slow) for call in CALLS],
)
def test_scripts_take_these_overrides(command, name, overrides):
    try:
        with_launcher(overrides)
    except UserError as missing:  # launchers are optional
        pytest.skip(str(missing))
    register()
    GlobalHydra.instance().clear()
    # A sweep's list of values is checked by its first value.
    single = [re.sub(r"^([\w./]+=)([^\[{,]+),.*$", r"\1\2", override) for override in overrides]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert compose(name, single) is not None


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for command in COMMANDS:
        words = shlex.split(command)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_named_in_documents_exist(document):
    for path in re.findall(r"\]\((?!http|#)([^)#]+)", document.read_text()):
        assert (document.parent / path).exists(), path
