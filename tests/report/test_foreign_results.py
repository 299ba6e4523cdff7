"""Result files with anything in them: left out with a reason, or shown; never in the way of the others."""

import json
import shutil
from pathlib import Path
from random import Random

import pytest
from matplotlib import pyplot

from apot_lit.errors import UserError
from apot_lit.report.collect import collect
from apot_lit.report.compose import document_sections
from apot_lit.report.page import build_page
from apot_lit.report.plots import all_pictures, feature
from apot_lit.report.runs_csv import write_csv
from apot_lit.report.sentences import FIRST_RUN, RELEASED, WHOLE_SET
from apot_lit.report.tables import markdown
from apot_lit.sweep.job import finished
from tests.conftest import ROOT, slowly
from tests.mutations import PLAIN, damaged, mutated
from tests.report.test_report import result

COMMITTED = ROOT / "results/fast/resnet10_2bit_apot_seed0.json"


@pytest.fixture(scope="module")
def originals():
    committed = json.loads(COMMITTED.read_text())
    committed["misclassified"] = committed["misclassified"][:5]
    return [result(seed=7), committed]


def shown(directory: Path, draw: bool, page: bool = True) -> int:
    """Everything the report makes of a directory; the number of runs in it."""
    collection = collect(directory)
    for _, reason in collection.left_out:
        assert reason.isprintable()
        assert len(reason) < 400
    markdown(collection, {}).encode()
    write_csv(collection, directory / "runs.csv")
    pictures = all_pictures(collection, feature(collection), ROOT / "data/mnist") if draw else []
    for name, _, figure in pictures:
        assert "/" not in name
        figure.canvas.draw()
    if page:
        build_page(collection, {}, [], directory, directory / "report").encode()
    pyplot.close("all")
    runs = [run for group in collection.groups for runs in group.runs.values() for run in runs]
    for run in runs:
        assert run.outcome.images > 0
    return len(runs)


def sweep_content(originals, directory, seeds, every):
    """Number of files that were left out."""
    (directory / "good.json").write_text(json.dumps(result()))
    left_out = 0
    for seed in seeds:
        random = Random(seed)
        within = [(key,) for key in ("config", "history", "confusion", "misclassified", "weight_histogram", "hardware")]
        content = mutated(originals[seed % 2], random, PLAIN, [random.choice(within), ()])
        (directory / "result.json").write_text(json.dumps(content))
        runs = shown(directory, draw=seed % every == 0, page=seed % 5 == 0)
        assert runs in (1, 2)
        left_out += runs == 1
    return left_out


@pytest.mark.slow
def test_wrong_content(originals, tmp_path):
    assert 100 < sweep_content(originals, tmp_path, range(200), every=150) < 200


@pytest.mark.slow
def test_wrong_content_at_length(originals, tmp_path):
    sweep_content(originals, tmp_path, range(1000, 1800), every=20)


def test_damaged_files(originals, tmp_path):
    (tmp_path / "good.json").write_text(json.dumps(result()))
    content = json.dumps(originals[0]).encode()
    for seed in range(200):
        (tmp_path / "result.json").write_bytes(damaged(content, Random(seed)))
        assert shown(tmp_path, draw=False, page=False) in (1, 2)


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("history", {"epoch": [1, 2], "val/acc": [0.5]}, "history: must have columns of one length"),
        ("history", {"epoch": [1, None]}, "history: must have a column epoch, without null"),
        ("history", [], "history=(list): must be a mapping"),
        ("confusion", [[1]], "confusion=(list): must be a list of 10"),
        ("confusion", [[0] * 10] * 10, "confusion: must count at least one image"),
        ("misclassified", [[10_000, 1, 2]], "misclassified[0][0]=10000: must be an integer, at least 0, at most 9999"),
        ("weight_histogram", {}, "weight_histogram.layer: is missing"),
        ("hardware", {"cpu": "abacus"}, "hardware.threads: is missing"),
        ("test_accuracy", float("nan"), "test_accuracy=nan: must be a finite number, at least 0, at most 1"),
        ("test_accuracy", 99.1, "test_accuracy=99.1: must be a finite number, at least 0, at most 1"),
        ("parameters", 0, "parameters=0: must be an integer, at least 1"),
        ("config", None, "config=null: must be a mapping"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, part, value, reason):
    (tmp_path / "good.json").write_text(json.dumps(result()))
    (tmp_path / "wrong.json").write_text(json.dumps(result(seed=1) | {part: value}))
    assert collect(tmp_path).left_out == [("wrong.json", f"damaged ({reason})")]


DETAILS = ("history", "confusion", "misclassified", "weight_histogram")
DETAILS += ("hardware", "commit", "val_accuracy", "parameters")


@pytest.mark.parametrize("how", ["null", "missing"])
def test_a_run_may_lack_any_detail(tmp_path, how):
    for lacking in [*([part] for part in DETAILS), DETAILS]:
        content = {key: value for key, value in result().items() if key not in lacking}
        content |= dict.fromkeys(lacking) if how == "null" else {}
        (tmp_path / "run.json").write_text(json.dumps(content))
        assert shown(tmp_path, draw=lacking == DETAILS) == 1


@pytest.mark.parametrize(
    "file",
    ["aims.csv", *slowly(FIRST_RUN, *RELEASED.values(), WHOLE_SET, "trials.csv", "benchmark_cpu_resnet18.json")],
)
def test_damaged_files_of_documents_are_one_line(tmp_path, file):
    for needed in [FIRST_RUN, *RELEASED.values(), WHOLE_SET, "aims.csv", "trials.csv", "benchmark_cpu_resnet18.json"]:
        (tmp_path / needed).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "results" / needed, tmp_path / needed)
    collection = collect(tmp_path)
    assert document_sections(collection, {}, tmp_path)
    content = (tmp_path / file).read_bytes()
    named = 0
    for seed in range(40):
        random = Random(seed)
        changed = damaged(content, random)
        if file.endswith(".json") and seed % 2:
            changed = json.dumps(mutated(json.loads(content), random, PLAIN)).encode()
        (tmp_path / file).write_bytes(changed)
        try:
            document_sections(collection, {}, tmp_path)
        except UserError as error:
            named += 1
            message = str(error)
            assert file in message
            assert len(message.splitlines()) == 1, message
    assert named > 5


def test_a_damaged_result_of_a_job_is_one_line(originals, tmp_path):
    config = {**result()["config"], "paths": {"output_dir": str(tmp_path)}}
    assert finished(config) is None
    (tmp_path / "result.json").write_text(json.dumps(result()))
    assert finished(config)["test_accuracy"] == 0.99
    for seed in range(200):
        (tmp_path / "result.json").write_text(json.dumps(mutated(originals[0], Random(seed), PLAIN)))
        try:
            finished(config)
        except UserError as error:
            message = str(error)
            assert len(message.splitlines()) == 1, message
