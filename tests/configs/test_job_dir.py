"""Names of the directories of a multirun."""

import pytest

from apot_lit.config.places import job_dir, row_dir, varied


@pytest.mark.parametrize(
    ("command", "job", "name"),
    [
        (["quant.bit=2,3", "quant.power=0,1"], ["quant.bit=3", "quant.power=0", "seed=1"], "bit-3_power-0"),
        (["model=resnet10,resnet18"], ["model=resnet18"], "model-resnet18"),
        (["optimizer.lr=choice(0.1,0.2)", "+x=[1,2]"], ["optimizer.lr=0.2", "+x=[1,2]"], "lr-0.2"),
        (["seed=range(0,3)", "data.split_seed=1,2"], ["seed=1", "data.split_seed=2"], "seed-1_split_seed-2"),
        (["a.lr=1,2", "b.lr=3,4"], ["a.lr=1", "b.lr=3"], "a.lr-1_b.lr-3"),
        (["seed=1"], ["seed=1"], "job"),
        ([], [], "job"),
    ],
)
def test_a_directory_says_what_varies(command, job, name):
    assert job_dir(varied(None, command), job) == name


def test_options_of_the_sweeper_vary_too():
    assert varied({"quant.bit": "2,3"}, ["seed=1,2", "model.width=4"]) == ["quant.bit", "seed"]


def test_values_that_no_name_can_hold_have_names_of_their_own():
    values = ["'a=(1)/ü'", "'a=(1)/ö'", "a-1", "[a,1]", "x" * 500, "x" * 501]
    names = {job_dir(["init_from"], [f"init_from={value}"]) for value in values}
    assert len(names) == len(values)
    for name in names:
        assert len(name) <= 100
        assert name.startswith(("init_from-a", "init_from-xxx"))
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789_-.")


@pytest.mark.parametrize(
    ("quant", "name"),
    [
        ({"bit": 4, "power": 1}, "resnet10_small_4bit_apot_seed3"),
        ({"bit": 2, "power": 0}, "resnet10_small_2bit_uniform_seed3"),
        ({"bit": 5, "power": 1, "additive": False}, "resnet10_small_5bit_pot_seed3"),
        ({"bit": 32, "power": 0}, "resnet10_small_float_seed3"),
    ],
)
def test_rows_of_the_tables_are_named_as_they_always_were(quant, name):
    model = {"name": "resnet10", "stem": "small"}
    assert row_dir(model, quant, 3, [], ["seed=3"]) == name
    wide = row_dir(model, quant, 3, ["model.width"], ["seed=3", "model.width=4"])
    assert wide == f"{name}_width-4"
