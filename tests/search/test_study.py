"""The study's file: of one search, whole, or refused in one line and left as it was."""

import sqlite3

import pytest

from apot_lit.errors import UserError
from apot_lit.search.space import Space
from apot_lit.search.study import STUDY_FILE, open_study, require_optuna, sampler

pytest.importorskip("optuna", reason="needs the extra search")

SETTINGS = {"search.cost": "size", "seed": 0, "search.bits": [2, 3]}
SPACE = Space(("a", "b", "c"), (2, 3, 4, 5), {})


def test_a_study_is_found_again_with_its_first_trials_once(tmp_path):
    first = [{"bit of a": 2}, {"bit of a": 3}]
    for _ in range(2):
        study = open_study(tmp_path, SETTINGS, first)
        assert [trial.system_attrs["fixed_params"] for trial in study.trials] == first


def test_a_study_of_other_settings_is_refused_with_their_names(tmp_path):
    open_study(tmp_path, SETTINGS, [])
    before = (tmp_path / STUDY_FILE).read_bytes()
    other = {**SETTINGS, "search.cost": "gates", "optimizer.lr": "0.1"}
    with pytest.raises(UserError) as error:
        open_study(tmp_path, other, [])
    assert "is a search with other settings (optimizer.lr, search.cost); give this one" in str(error.value)
    assert (tmp_path / STUDY_FILE).read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "head", "middle", "half", "other"])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path, damage):
    path = tmp_path / STUDY_FILE
    study = open_study(tmp_path, SETTINGS, [{"bit of a": bit} for bit in range(5)])
    study._storage.remove_session()
    content = path.read_bytes()
    if damage == "other":
        path.unlink()
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE songs (name TEXT)")
    else:
        half = len(content) // 2
        broken = {
            "text": b"no database",
            "head": b"x" * 100 + content[100:],
            "middle": content[:4096] + b"\xff" * (half - 4096) + content[half:],
            "half": content[:half],
        }
        path.write_bytes(broken[damage])
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"study\.db: (can't be used|is not a study)") as error:
        open_study(tmp_path, SETTINGS, [])
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_a_search_repeats_itself_also_over_interruptions(tmp_path, name):
    def chosen(directory, anew):
        study = open_study(directory, SETTINGS, [])
        found = []
        for number in range(14):
            if anew and number % 4 == 0:
                study = open_study(directory, SETTINGS, [])
            study.sampler = sampler(name, 7, number)
            trial = study.ask()
            params = SPACE.suggest(trial)
            study.tell(trial, [params["bit of a"] / params["bit of b"], sum(params.values())])
            found.append(tuple(params.values()))
        return found

    first = chosen(tmp_path, anew=False)
    for directory in ("again", "elsewhere"):
        (tmp_path / directory).mkdir()
    assert chosen(tmp_path / "again", anew=True) == first
    assert len(set(first)) > 7


def test_without_optuna_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr("apot_lit.search.study.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs optuna; install apot-lit\[search\]"):
        require_optuna()
