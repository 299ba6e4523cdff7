"""search.py with made-up trainings: what it writes, that it goes on, and what it refuses."""

import csv
import json
import sqlite3

import pytest

from apot_lit.errors import Interrupted, UserError
from apot_lit.search.front import FINISHED, Point, pareto_front
from tests.search.conftest import TINY, front, made_up


@pytest.mark.slow
def test_front_tables_picture_and_choice(search, tmp_path):
    outcome = search("search.trials=12", "search.margin=null")
    assert outcome.code == 0, outcome.err
    found = front(tmp_path / "search")
    trials = [Point(**one) for one in found["trials"]]
    assert len(trials) == 12
    assert {one.state for one in trials} == {FINISHED}
    # The first four have one width everywhere, two to five.
    assert [set(one.params.values()) for one in trials[:4]] == [{2}, {3}, {4}, {5}]
    assert [one.trial for one in pareto_front(trials)] == found["front"]
    for one in trials:
        bits = list(one.params.values())
        assert one.accuracy == pytest.approx(0.9 + 0.001 * sum(bits) + 0.004 * bits[3])
    with (tmp_path / "search/front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == found["front"]
    assert [row["bit of layer4.*"] for row in rows] == [
        str(trials[number].params["bit of layer4.*"]) for number in found["front"]
    ]
    assert (tmp_path / "search/front.png").read_bytes().startswith(b"\x89PNG")
    assert f"trial {found['chosen']}:" in outcome.out.partition("<- chosen")[0].splitlines()[-1]


@pytest.mark.slow
def test_the_same_command_goes_on_and_more_trials_are_added(search, tmp_path):
    trained = []

    def counting(config, needed):
        trained.append(config["paths"]["output_dir"])
        if len(trained) == 3:
            raise Interrupted("stopped by hand")
        return made_up(config, needed)

    outcome = search("search.trials=4", train=counting)
    assert outcome.code == 130
    assert outcome.err.startswith("error: interrupted; finished trials are kept, to go on: python ")
    assert "search.trials=4" in outcome.err
    assert len(front(tmp_path / "search")["trials"]) == 2
    assert search("search.trials=4", train=counting).code == 0
    assert [place[-4:] for place in trained] == ["0000", "0001", "0002", "0003", "0002"]
    assert search("search.trials=4", train=counting).code == 0
    assert len(trained) == 5
    assert search("search.trials=6", train=counting).code == 0
    assert len(trained) == 7


@pytest.mark.slow
def test_a_chosen_point_is_an_experiment_of_train_py(search, run_script, tmp_path):
    space = "search.space={optimizer.lr: {low: 0.02, high: 0.2, log: true}, quant.power: [0], data.rotate: [7.0]}"
    assert search("search.max_cost=1e9", space).code == 0
    found = front(tmp_path / "search")
    point = found["trials"][found["chosen"]]
    given = f"--config-dir={tmp_path}/search"
    outcome = run_script("train.py", given, "experiment=[best,chosen]", "--cfg", "job")
    assert outcome.code == 0, outcome.err
    import yaml

    config = yaml.safe_load(outcome.out)
    assert config["recipe"] == "best"
    assert config["quant"]["overrides"] == {
        name.removeprefix("bit of "): {"bit": bit} for name, bit in point["params"].items() if name.startswith("bit of")
    }
    assert (config["model"]["name"], config["model"]["width"], config["quant"]["power"]) == ("resnet10", 2, 0)
    assert config["optimizer"]["lr"] == point["params"]["optimizer.lr"]
    assert (config["data"]["rotate"], config["trainer"]["max_epochs"]) == (7.0, 25)


@pytest.mark.slow
def test_another_choice_needs_no_trial(search, tmp_path):
    assert search().code == 0
    found = front(tmp_path / "search")
    cheapest = min(one["cost"] for one in found["trials"])

    def never(config, needed):
        raise AssertionError

    assert search(f"search.max_cost={cheapest}", train=never).code == 0
    again = front(tmp_path / "search")
    assert again["trials"][again["chosen"]]["cost"] == cheapest
    refused = search(f"search.max_cost={cheapest - 1}", train=never)
    refused.assert_refused(["search.max_cost", "the cheapest finished trial costs"])


@pytest.mark.slow
def test_trials_that_are_far_behind_are_stopped_and_drawn(search, tmp_path):
    def spoilt(config, needed):
        bits = [options["bit"] for options in config["quant"]["overrides"].values()]
        if bits == [4, 4, 4, 4]:
            result = made_up(config, None)
            return made_up(config, [2.0]) if needed and result["history"]["val/acc"][0] - 0.5 < needed[0] else result
        return made_up(config, needed)

    assert search("search.trials=4", train=spoilt).code == 0
    states = [one["state"] for one in front(tmp_path / "search")["trials"]]
    assert states == ["finished", "finished", "stopped", "finished"]
    stopped = front(tmp_path / "search")["trials"][2]
    assert (stopped["epochs"], stopped["accuracy"]) == (1, pytest.approx(0.9 + 0.016 + 0.016 - 0.02))


@pytest.mark.slow
def test_a_trial_that_fails_is_one_of_them_but_the_first_one_ends_the_search(search, tmp_path):
    def failing(config, needed):
        if {"bit": 3} in config["quant"]["overrides"].values():
            raise UserError("the loss is no longer a number")
        return made_up(config, needed)

    assert search("search.trials=4", train=failing).code == 0
    trials = front(tmp_path / "search")["trials"]
    assert [one["state"] for one in trials] == ["finished", "failed", "finished", "finished"]

    def hopeless(config, needed):
        raise UserError("nothing works")

    search(train=hopeless, directory="other").assert_refused(["nothing works"])


@pytest.mark.slow
def test_equal_trials_are_trained_once(search, tmp_path):
    trained = []

    def counting(config, needed):
        trained.append(config)
        return made_up(config, needed)

    assert search("search.groups=[layer1.*]", "search.bits=[2,3]", "search.trials=8", train=counting).code == 0
    assert len(trained) == 2
    assert len(front(tmp_path / "search")["trials"]) == 8


def test_a_pattern_of_the_user_stays_but_what_is_searched_wins(search, tmp_path):
    seen = []

    def looking(config, needed):
        seen.append(config["quant"]["overrides"])
        return {"val_accuracy": 0.5, "epochs": 1, "history": {}}

    given = "quant.overrides={layer1.*: {bit: 8, power: 0}, layer1.0.conv2: {bit: 7}}"
    assert search(given, "search.groups=[layer1.*]", "search.trials=1", train=looking).code == 0
    assert list(seen[0].items()) == [("layer1.0.conv2", {"bit": 7}), ("layer1.*", {"bit": 2, "power": 0})]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["search.bits=[9]"], ["search.bits=[9]", "2, 3, 4, 5, 6, 7, 8"]),
        (["search.bits=[1,2]"], ["search.bits"]),
        (["search.bits=[2,2]"], ["search.bits=[2, 2]", "all different"]),
        (["search.bits=[]"], ["search.bits=[]", "nothing to search"]),
        (["search.groups=[layer9.*]"], ["search.groups: layer9.* matches no layer", "layer1.0.conv1"]),
        (["search.groups=heads"], ["search.groups=heads", "layers, blocks, stages"]),
        (["search.cost=watts"], ["search.cost=watts", "size, operations, gates"]),
        (["search.cost=gates", "search.bits=[7]"], ["search.cost=gates", "7 bits", "2, 3, 4, 5"]),
        (["search.cost=gates", "search.prices=nowhere"], ["search.prices=nowhere", "no prices"]),
        (["search.sampler=grid"], ["search.sampler=grid", "tpe or nsga2"]),
        (["search.trials=-1"], ["search.trials=-1"]),
        (["search.margin=2"], ["search.margin=2"]),
        (["search.max_cost=0"], ["search.max_cost=0"]),
        (["search.name=a/b"], ["search.name=a/b", "a name"]),
        (["search.trails=3"], ["search.trails", "trials"]),
        (["search.space={optimizer.lrr: [0.1]}"], ["search.space", "optimizer.lrr", "did you mean lr"]),
        (["search.space={optimiser.lr: [0.1]}"], ["search.space", "optimiser"]),
        (["search.space={optimizer.lr: [0.1, -1]}"], ["search.space", "optimizer.lr=-1", "must be"]),
        (["search.space={optimizer.lr: [fast]}"], ["search.space", "optimizer.lr", "fast"]),
        (["search.space={optimizer: [sgd]}"], ["search.space.optimizer", "is a section"]),
        (["search.space={quant.bit: [9]}"], ["search.space", "quant.bit=9"]),
        (["search.space={seed: {low: 1}}"], ["search.space.seed.high"]),
        (["search.space={data.val_split: [1]}"], ["search.space.data.val_split"]),
        (["data.val_split=0"], ["data.val_split=0", "validation"]),
        (["quant.bit=32"], ["quant.bit=32", "search.bits=[]"]),
        (["trainer.fast_dev_run=true"], ["trainer.fast_dev_run", "needs results"]),
        (["test=true"], ["test"]),
        (["ckpt_path=x"], ["ckpt_path"]),
        (["sweep=quick"], ["sweep"]),
        (["optimizer.lr=-1"], ["optimizer.lr=-1"]),
        (["trainer=ddp_cpu", "trainer.devices=2"], ["a search runs on one device", "trainer.devices=1"]),
        (["search.space={trainer.devices: [1, 2]}"], ["a trial of a search runs on one device"]),
        (["search.space={trainer.num_nodes: [1, 2]}"], ["a trial of a search runs on one device"]),
    ],
    ids=lambda value: " ".join(value),
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_no_study(search, tmp_path, arguments, parts):
    search(*arguments).assert_refused(parts)
    assert not list(tmp_path.rglob("study.db"))
    assert not list(tmp_path.rglob("train.log"))


@pytest.mark.slow
def test_a_study_of_other_settings_or_a_damaged_one_is_refused(search, tmp_path):
    assert search("search.trials=2").code == 0
    for other, key in (
        ("search.cost=operations", "search.cost"),
        ("search.bits=[2,3]", "search.bits"),
        ("search.groups=blocks", "search.groups"),
        ("optimizer.lr=0.05", "optimizer.lr"),
        ("search.space={quant.power: [0, 1]}", "search.options"),
        ("seed=1", "seed"),
    ):
        search(other).assert_refused(["study.db", "other settings", key, "search.name=..."])
    assert len(front(tmp_path / "search")["trials"]) == 2
    path = tmp_path / "search/study.db"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    search().assert_refused(["study.db", "can't be used"])
    assert len(path.read_bytes()) == len(content) // 3


@pytest.mark.slow
def test_options_without_bits_are_searched_too(search, tmp_path):
    def by_rate(config, needed):
        assert config["quant"]["overrides"] == {}
        return {"val_accuracy": 1 - abs(config["optimizer"]["lr"] - 0.05), "epochs": 1, "history": {"val/acc": [0.5]}}

    options = "search.space={optimizer.lr: {low: 0.01, high: 0.1}, quant.bit: [2, 4]}"
    tiny = [one for one in TINY if not one.startswith("search.groups")]
    assert search("search.bits=[]", options, "search.trials=8", train=by_rate, tiny=tiny).code == 0
    found = front(tmp_path / "search")
    costs = {one["params"]["quant.bit"]: one["cost"] for one in found["trials"]}
    assert costs[2] < costs[4]
    assert json.loads(json.dumps(found))["settings"]["search.groups"] == []
    with sqlite3.connect(tmp_path / "search/study.db") as database:
        assert database.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone() == (8,)
