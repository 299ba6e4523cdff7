"""What result files hold."""

import json

import pytest

from apot_lit.runs.result import write_json


def test_paths_below_the_root_are_relative_and_the_rest_stays(tmp_path):
    inside = [f"{tmp_path}/x/y.ckpt", str(tmp_path)]
    content = {"a": [*inside, f"{tmp_path}s/z", 3, float("nan")], "b": {"c": "/elsewhere"}}
    write_json(tmp_path / "r.json", content, tmp_path)
    assert json.loads((tmp_path / "r.json").read_text()) == {
        "a": ["x/y.ckpt", ".", f"{tmp_path}s/z", 3, None],
        "b": {"c": "/elsewhere"},
    }


def test_what_cannot_be_written_leaves_the_file_before(tmp_path):
    write_json(tmp_path / "r.json", {"loss": 1.0}, tmp_path)
    with pytest.raises(TypeError):
        write_json(tmp_path / "r.json", {"loss": 2.0, "model": object()}, tmp_path)
    assert json.loads((tmp_path / "r.json").read_text()) == {"loss": 1.0}
