"""Reports against results written by hand, whose means are known."""

import csv
import json
import math
import re
import shutil
import statistics
import subprocess

import numpy
import pytest

from apot_lit.errors import UserError
from apot_lit.report.answer import answer_sentences, answering
from apot_lit.report.collect import collect
from apot_lit.report.statistics import Outcome, binomial_error, compare, mean_half_width, spread
from apot_lit.report.tables import markdown, read_published
from tests.conftest import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def result(model="resnet10", bit=4, power=1, seed=0, test=0.99, recipe="reference", **options):
    return {
        "config": {
            "recipe": recipe,
            "seed": seed,
            "model": {"name": model, "stem": "reference", "width": 16},
            "quant": {"bit": bit, "power": power, "additive": True},
            "data": {"batch_size": 128, "flip": True},
            "optimizer": {"name": "sgd", "lr": 0.01, "weight_decay": 1e-4, "momentum": 0.9} | options,
            "scheduler": {"name": "constant"},
            "trainer": {"max_epochs": 25, "compile": bool(seed)},
            "callbacks": {"progress": {"_target_": "apot_lit.callbacks.TrainingProgress"}},
        },
        "epochs": 25,
        "train_accuracy": 0.998,
        "val_accuracy": 0.99,
        "test_accuracy": test,
        "wall_seconds": 100.0,
        "hardware": {"cpu": "abacus", "threads": 1, "device": "cpu"},
        "commit": "abc",
        "confusion": [[910 if row == column else 10 for column in range(10)] for row in range(10)],
        "misclassified": [[image, 5, 6] for image in range(round(10_000 * (1 - test)))],
        "weight_histogram": {
            "layer": "layer1.0.conv1",
            "unit": 2,
            "codes": [-2, 0, 2],
            "code_counts": [5, 90, 5],
            "bin_edges": [-1.5, 0, 1.5],
            "bin_counts": [50, 50],
        },
        "history": {
            "epoch": [1, 2],
            "train/loss": [1.0, 0.5],
            "train/acc": [0.8, 0.9],
            "val/loss": [0.9, None],
            "val/acc": [0.85, 0.91],
            "alpha/layer1.0.conv1/weight": [3.0, 2.9],
            "alpha/layer1.0.conv1/act": [6.0, 5.0],
        },
    }


APOT, UNIFORM = (0.9880, 0.9890, 0.9903), (0.9870, 0.9871, 0.9878)


@pytest.fixture
def results(tmp_path):
    directory = tmp_path / "results"
    directory.mkdir()
    for power, accuracies in ((1, APOT), (0, UNIFORM)):
        for seed, accuracy in enumerate(accuracies):
            content = result(power=power, seed=seed, test=accuracy)
            (directory / f"{power}_{seed}.json").write_text(json.dumps(content))
    return directory


def rows(text, title):
    lines = text.partition(f"**{title}**")[2].strip().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[: lines.index("")] if line]
    return [dict(zip(table[0], cells, strict=True)) for cells in table[2:]]


def test_tables_hold_means_deviations_and_the_paired_comparison(results):
    published = read_published(ROOT / "results/published.csv")
    text = markdown(collect(results), published) + "\n\n"
    apot = rows(text, "reference: APoT")
    assert len(apot) == 16
    filled = [row for row in apot if row["Seeds"] != "0"]
    assert filled == [
        {
            "Model": "resnet10",
            "Precision": "4 bit",
            "Hyper-Params": "batch128_lr0.01_wd0.0001_25epoch",
            "Accuracy": f"{100 * statistics.mean(APOT):.2f} ± {100 * statistics.stdev(APOT):.2f}",
            "Seeds": "3",
            "Training accuracy": "99.80 ± 0.00",
            "Published (training)": "99.64",
        }
    ]
    assert all(row["Accuracy"] == "not run yet" for row in apot if row not in filled)
    (compared,) = (row["Compared with APoT"] for row in rows(text, "reference: uniform") if row["Seeds"] == "3")
    differences = [100 * (a - u) for a, u in zip(APOT, UNIFORM, strict=True)]
    half = 4.302653 * statistics.stdev(differences) / math.sqrt(3)
    assert half > statistics.mean(differences)
    assert compared == f"{statistics.mean(differences):+.2f} ± {half:.2f}, within noise"


def test_runs_on_unlike_machines_are_counted(results):
    """One APoT run of three on two threads: its row has two machines, and one of three pairs is on both."""
    path = results / "1_2.json"
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 2'))
    text = markdown(collect(results), {}) + "\n\n"
    (apot,) = (row for row in rows(text, "reference: APoT") if row["Accuracy"] != "not run yet")
    (uniform,) = (row for row in rows(text, "reference: uniform") if row["Accuracy"] != "not run yet")
    assert (apot["Seeds"], uniform["Seeds"]) == ("3, on 2 machines", "3")
    assert uniform["Compared with APoT"].endswith("within noise, 1 on two machines")


def test_rows_without_an_end_say_so(results):
    diverged = results / "diverged.csv"
    diverged.write_text("recipe,model,bit,scheme,seed,step\nreference,resnet50,2,apot,0,8\nbest,resnet50,2,apot,0,9\n")
    (row,) = (
        row
        for row in rows(markdown(collect(results), {}) + "\n\n", "reference: APoT")
        if row["Seeds"] == "0" and (row["Model"], row["Precision"]) == ("resnet50", "2 bit")
    )
    assert row["Accuracy"] == "diverged at step 8 (seed 0)"
    diverged.write_text("recipe,model\nreference,resnet50\n")
    with pytest.raises(UserError, match=r"diverged\.csv: must have the columns"):
        collect(results)


def test_the_answer_in_sentences(results):
    (results / "float.json").write_text(json.dumps(result(bit=32, test=0.9921)))
    group = answering(collect(results))
    against_uniform, against_float, wrong = answer_sentences(group)
    differences = [100 * (a - u) for a, u in zip(APOT, UNIFORM, strict=True)]
    half = 4.302653 * statistics.stdev(differences) / math.sqrt(3)
    assert against_uniform == (
        f"By the recipe reference, APoT minus uniform is +{statistics.mean(differences):.2f} ± {half:.2f} at 4 bits "
        "(points of test accuracy): at no bit width more than noise."
    )
    lost = 0.9921 - APOT[0]  # the pair of seed 0, whose interval is that of as many images
    half = 1.959964 * math.sqrt(lost - lost**2) / 100
    assert against_float == f"APoT minus float32 is {-100 * lost:.2f} ± {100 * half:.2f} at 4 bits."
    assert wrong == "Of 10,000 test images APoT and uniform get 109 and 127 at 4 bits wrong, float32 79."


def test_the_recipe_best_answers_even_with_fewer_runs(results):
    (results / "best.json").write_text(json.dumps(result(recipe="best", lr=0.1)))
    assert answering(collect(results)).recipe == "best"
    assert answer_sentences(answering(collect(results))) == []  # one scheme alone says nothing


def test_the_interval_of_a_mean_is_that_of_seeds_or_of_images():
    seeds = [outcome(0.90), outcome(0.92), outcome(0.97)]
    accuracies = [0.90, 0.92, 0.97]
    by_seed = 4.302653 * statistics.stdev(accuracies) / math.sqrt(3)
    assert mean_half_width(seeds) == pytest.approx(by_seed)
    alike = [outcome(0.93, 100), outcome(0.93, 100)]
    assert mean_half_width(alike) == pytest.approx(1.959964 * math.sqrt(0.93 * 0.07 / 100))
    assert mean_half_width(alike[:1]) == mean_half_width(alike)


@pytest.mark.parametrize(("lead", "shown"), [(0.0001, "+0.00"), (-0.0001, "+0.00"), (-0.0002, "-0.01")])
def test_a_difference_that_rounds_to_zero_has_no_minus_sign(tmp_path, lead, shown):
    for seed in range(3):  # the lead of one seed is a third of it in the mean
        for power, accuracy in ((1, 0.99 + (lead if seed == 0 else 0)), (0, 0.99)):
            content = result(power=power, seed=seed, test=accuracy)
            (tmp_path / f"{power}_{seed}.json").write_text(json.dumps(content))
    table = rows(markdown(collect(tmp_path), {}) + "\n\n", "reference: uniform")
    (row,) = (row for row in table if row["Seeds"] == "3")
    assert row["Compared with APoT"].split(" ± ")[0] == shown


def test_published_accuracies_stand_only_beside_the_published_networks(results):
    changed = result(test=0.997)
    changed["config"]["model"]["stem"] = "small"
    (results / "small.json").write_text(json.dumps(changed))
    text = markdown(collect(results), read_published(ROOT / "results/published.csv")) + "\n\n"
    (row,) = rows(text, "reference with model.stem=small: APoT")
    assert (row["Model"], row["Accuracy"]) == ("resnet10", "99.70")
    assert "Published (training)" not in row
    assert [row["Published (training)"] for row in rows(text, "reference: APoT")][1] == "99.64"


def test_a_summary_shows_networks_by_bits_and_compares_over_networks_and_seeds(results):
    for model, power, accuracy in (("resnet18", 1, 0.9917), ("resnet18", 0, 0.9904), ("resnet34", 1, 0.5)):
        (results / f"{model}_{power}.json").write_text(json.dumps(result(model=model, power=power, test=accuracy)))
    (results / "two.json").write_text(json.dumps(result(bit=2, power=0, test=0.98)))
    (results / "other.json").write_text(json.dumps(result(lr=0.02)))
    text = markdown(collect(results), {}) + "\n\n"
    assert text.count(": APoT / uniform") == 1  # a single row is no summary
    table = rows(text, "reference: APoT / uniform")
    means = " / ".join(f"{100 * statistics.mean(x):.2f} ± {100 * statistics.stdev(x):.2f}" for x in (APOT, UNIFORM))
    differences = [*(100 * (a - u) for a, u in zip(APOT, UNIFORM, strict=True)), 99.17 - 99.04]
    half = 3.182 * statistics.stdev(differences) / math.sqrt(4)
    assert half < statistics.mean(differences)
    assert table == [
        {"Model": "resnet10", "4 bit": means, "2 bit": "- / 98.00"},
        {"Model": "resnet18", "4 bit": "99.17 / 99.04", "2 bit": "- / -"},
        {"Model": "resnet34", "4 bit": "50.00 / -", "2 bit": "- / -"},
        {
            "Model": "APoT minus uniform",
            "4 bit": f"{statistics.mean(differences):+.2f} ± {half:.2f}, more than noise",
            "2 bit": "-",
        },
    ]


def outcome(accuracy, images=10_000, wrong=None):
    return Outcome(accuracy, images, wrong if wrong is None else frozenset(wrong))


def test_a_comparison_uses_common_seeds_alone():
    both = compare(
        {0: outcome(0.6), 1: outcome(0.9), 7: outcome(0.1)}, {1: outcome(0.7), 0: outcome(0.1), 3: outcome(0)}
    )
    assert both.pairs == (0, 1)
    assert both.difference == pytest.approx(0.35)
    assert both.half_width == pytest.approx(12.706205 * statistics.stdev([0.5, 0.2]) / math.sqrt(2))
    assert both.more_than_noise is False
    one = compare({0: outcome(0.9)}, {0: outcome(0.1)})
    assert (one.difference, one.pair_half_width, one.more_than_noise) == (pytest.approx(0.8), None, None)
    assert compare({0: outcome(0.9)}, {1: outcome(0.9)}) is None
    assert spread([2.0]).std is None


def test_the_choice_of_test_images_is_noise_too():
    generator = numpy.random.default_rng(0)
    right = generator.random((2, 3, 500)) < numpy.array([0.95, 0.85])[:, None, None]  # scheme, seed, image
    first, second = (
        {seed: outcome(run.mean(), 500, numpy.flatnonzero(~run).tolist()) for seed, run in enumerate(runs)}
        for runs in right
    )
    by_image = (right[0].astype(float) - right[1]).mean(axis=0)
    compared = compare(first, second)
    assert compared.difference == pytest.approx(by_image.mean())
    assert compared.image_half_width == pytest.approx(1.959964 * by_image.std() / math.sqrt(500))
    # Resampling test images moves the difference by as much; that the seeds stay the same here is why both count.
    moved = [by_image[generator.integers(500, size=500)].mean() for _ in range(2000)]
    assert compared.image_half_width == pytest.approx(1.96 * statistics.stdev(moved), rel=0.1)
    # Without the positions there is a bound, reached where the same images are wrong with every seed.
    unknown = [{seed: outcome(run.accuracy, 500) for seed, run in runs.items()} for runs in (first, second)]
    assert compare(first, unknown[1]).image_half_width == compare(*unknown).image_half_width
    assert compare(*unknown).image_half_width > compared.image_half_width
    bound = compare({0: outcome(0.9, 100)}, {0: outcome(0.9, 100)}).image_half_width
    disjoint = compare({0: outcome(0.9, 100, range(10))}, {0: outcome(0.9, 100, range(10, 20))}).image_half_width
    assert disjoint == pytest.approx(bound)
    # Where one pair of three has them not, the others are taken as they are: the bound holds and is closer.
    most = [compare(first, {**second, seed: unknown[1][seed]}).image_half_width for seed in range(3)]
    assert all(compared.image_half_width < width < compare(*unknown).image_half_width for width in most)
    two = {seed: second[seed] for seed in (0, 1)}
    own = math.sqrt(2 - first[2].accuracy - second[2].accuracy) / math.sqrt(500)
    known = compare(first, two).image_half_width * 2 / 3
    assert most[2] == pytest.approx(known + 1.959964 * own / 3)


def test_seeds_that_agree_by_chance_are_no_evidence():
    first = {seed: outcome(0.9952, wrong=range(48)) for seed in (0, 1)}
    second = {seed: outcome(0.9953, wrong=range(40, 87)) for seed in (0, 1)}
    compared = compare(first, second)
    assert compared.pair_half_width == pytest.approx(0, abs=1e-9)
    assert compared.more_than_noise is False
    certain = compare(first, {seed: outcome(0.9, wrong=range(1000)) for seed in (0, 1)})
    assert certain.more_than_noise is True


def test_the_binomial_error_is_the_deviation_of_counts():
    # 3 images, each right with probability 1/2: 0, 1, 2, 3 right in 1, 3, 3, 1 of 8 cases
    assert binomial_error(0.5, 3) == pytest.approx(statistics.pstdev([0, 1, 1, 1, 2, 2, 2, 3]) / 3)


def test_other_protocols_are_kept_apart_and_what_cannot_be_used_is_listed(results):
    (results / "other.json").write_text(json.dumps(result(test=0.5, seed=9, lr=0.02)))
    (results / "copy.json").write_text(json.dumps(result(test=0.1)))
    (results / "damaged.json").write_text("{")
    (results / "unfinished.json").write_text(json.dumps(result() | {"test_accuracy": None}))
    (results / "benchmark.json").write_text(json.dumps({"config": {}, "steps": []}))
    (results / "run/checkpoints").mkdir(parents=True)
    collection = collect(results)
    assert [group.name for group in collection.groups] == ["reference", "reference with optimizer.lr=0.02"]
    assert sum(len(runs) for runs in collection.groups[0].runs.values()) == 6
    left_out = dict(collection.left_out)
    assert left_out.keys() == {"copy.json", "damaged.json", "unfinished.json", "run"}
    assert left_out["copy.json"] == "the same run as 1_0.json"
    assert "damaged" in left_out["damaged.json"]
    assert "test_accuracy" in left_out["unfinished.json"]
    assert left_out["run"] == "not finished"
    text = markdown(collection, {})
    assert "50.00" in text.partition("reference with optimizer.lr=0.02")[2]
    assert "50.00" not in text.partition("reference with optimizer.lr=0.02")[0]


@pytest.fixture
def written(run_script, results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n")
    outcome = run_script(
        "report.py", f"results_dir={results}", f"documents=[{readme}]", f"hydra.run.dir={tmp_path}/report"
    )
    assert outcome.code == 0, outcome.err
    return tmp_path / "report", readme, outcome


def test_everything_is_written(written, results):
    directory, readme, outcome = written
    tables = (directory / "tables.md").read_text()
    assert readme.read_text() == f"before\n<!-- results:begin -->\n{tables.strip()}\n<!-- results:end -->\nafter\n"
    with (directory / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6
    assert sorted(float(line["test_accuracy"]) for line in lines) == sorted(APOT + UNIFORM)
    assert {(line["model"], line["bit"], line["recipe"]) for line in lines} == {("resnet10", "4", "reference")}
    assert lines[0]["cpu"] == "abacus"
    pictures = {path.stem for path in directory.glob("*.png")}
    assert pictures == {
        *("accuracy_reference", "levels", "weight", "weights", "confusion", "misclassified"),
    }
    page = (directory / "report.html").read_text()
    body = page.partition("<body>")[2]
    assert body.count("data:image/png;base64,") == len(pictures)
    assert not re.search(r'src="(?!data:)', body)
    assert "http" not in body.replace("data:image", "")
    links = re.findall(r'href="([^"#][^"]*)"', body)
    assert len(links) == 6
    for link in links:
        assert json.loads((directory / link).read_text())["test_accuracy"] in APOT + UNIFORM
    anchors = re.findall(r'href="#(\w+)"', body)
    assert len(anchors) >= 4
    assert all(f'id="{anchor}"' in body for anchor in anchors)
    for path in re.findall(r"^  (/.*)$", outcome.out, re.MULTILINE):
        assert path.endswith((".png", ".md", ".html", ".csv"))


PROBE = """<script>
window.addEventListener("load", () => {
  const seen = {pictures: [], sorted: [], back: [], tables: document.querySelectorAll("table.sortable").length};
  for (const image of document.images) seen.pictures.push(image.complete && image.naturalWidth > 100);
  const table = document.querySelectorAll("table.sortable")[1];
  const column = [...table.tHead.rows[0].cells].findIndex(head => head.textContent.startsWith("Accuracy"));
  const first = () => [...table.tBodies[0].rows].map(row => row.cells[column].textContent);
  const button = table.tHead.rows[0].cells[column].querySelector("button");
  button.click(); seen.sorted = first(); button.click(); seen.back = first();
  seen.drawn = [...document.querySelectorAll(".js-plotly-plot")].map(plot => plot.querySelectorAll(".point").length);
  seen.wide = document.documentElement.scrollWidth > window.innerWidth;
  document.body.innerHTML = "<pre id=probe></pre>";
  document.getElementById("probe").textContent = JSON.stringify(seen);
});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_works_in_a_browser(written, tmp_path):
    page = (written[0] / "report.html").read_text()
    probed = tmp_path / "probed.html"
    probed.write_text(page.replace("</body>", PROBE + "</body>"))
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *("--enable-logging=stderr", "--window-size=500,900", "--virtual-time-budget=5000", "--dump-dom"),
        f"--user-data-dir={tmp_path}/profile",
    ]
    done = subprocess.run(
        [CHROMIUM, *options, probed.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    seen = json.loads(found[1])
    assert seen["pictures"] == [True] * 6
    assert seen["tables"] == 5
    # Accuracies: a dot for each of six runs, two means; differences: three pairs, a mean for the one network.
    # Curves: training and validation, of which the second epoch has no loss; thresholds: first and last.
    assert seen["drawn"] == [8, 4, 7, 4]
    assert "CONSOLE" not in done.stderr
    assert not seen["wide"]  # tables scroll, the page does not
    filled = f"{100 * statistics.mean(APOT):.2f}"
    assert seen["sorted"][0].startswith(filled)
    assert seen["back"][0].startswith(filled)  # what is no number stays at the end
    assert seen["sorted"][1:] == ["not run yet"] * 15


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["results_dir=nowhere"], ["results_dir=nowhere", "no such directory"]),
        (["results_dir=empty"], ["results_dir=empty", "no result"]),
        (["results_dir=broken"], ["results_dir=broken", "result.json", "damaged"]),
        (["documents=[nowhere.md]"], ["documents: nowhere.md", "no such file"]),
        (["documents=[plain.md]"], ["documents: plain.md", "results:begin"]),
        (["documents=[marked.md,open.md]"], ["documents: open.md", "results:begin", "results:end", "once each"]),
        (["documents=[other.md]"], ["documents: other.md", "section benchmark", "results"]),
        (["documents=[marked.md]", "results_dir=benchmarked"], ["benchmark_0.json", "that benchmark.py wrote"]),
        (["published=nowhere.csv"], ["published=nowhere.csv"]),
        (["result_dir=x"], ["result_dir", "did you mean results_dir?"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_mistakes_are_one_line_and_nothing_is_overwritten(run_script, results, tmp_path, arguments, parts):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/result.json").write_text("[]")
    (tmp_path / "plain.md").write_text("no markers")
    (tmp_path / "marked.md").write_text("<!-- results:begin -->\n<!-- results:end -->")
    (tmp_path / "open.md").write_text("<!-- results:begin -->\n")
    (tmp_path / "other.md").write_text("<!-- benchmark:begin -->\n<!-- benchmark:end -->")
    shutil.copytree(results, tmp_path / "benchmarked")
    (tmp_path / "benchmarked/benchmark_0.json").write_text('{"steps": []}')
    (tmp_path / "report").mkdir()
    (tmp_path / "report/tables.md").write_text("kept")
    outcome = run_script("report.py", f"results_dir={results}", f"hydra.run.dir={tmp_path}/report", *arguments)
    outcome.assert_refused(parts)
    assert (tmp_path / "report/tables.md").read_text() == "kept"
    assert (tmp_path / "plain.md").read_text() == "no markers"
    assert (tmp_path / "marked.md").read_text() == "<!-- results:begin -->\n<!-- results:end -->"
