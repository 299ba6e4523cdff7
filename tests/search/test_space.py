"""What can be searched, and what is refused before anything is trained."""

import pytest

from apot_lit.errors import UserError
from apot_lit.search.space import Interval, Space, bits_of, extremes, options_of, read_options


class Recorder:
    """Stands for Optuna's trial: notes what it is asked, and answers with the largest."""

    def __init__(self):
        self.asked = {}

    def suggest_int(self, name, low, high, step=1, log=False):
        self.asked[name] = ("int", low, high, step, log)
        return high

    def suggest_float(self, name, low, high, step=None, log=False):
        self.asked[name] = ("float", low, high, step, log)
        return high

    def suggest_categorical(self, name, choices):
        self.asked[name] = ("one of", *choices)
        return choices[-1]


def test_a_trial_chooses_bits_of_every_group_and_a_value_of_every_option():
    options = read_options(
        {
            "optimizer.lr": {"low": 0.01, "high": 0.1, "log": True},
            "quant.power": [0, 1],
            "data.batch_size": {"low": 32, "high": 128, "step": 32},
        }
    )
    space = Space(("layer1.*", "layer2.*"), (2, 4, 6), options)
    trial = Recorder()
    params = space.suggest(trial)
    assert trial.asked == {
        "bit of layer1.*": ("int", 2, 6, 2, False),
        "bit of layer2.*": ("int", 2, 6, 2, False),
        "optimizer.lr": ("float", 0.01, 0.1, None, True),
        "quant.power": ("one of", 0, 1),
        "data.batch_size": ("int", 32, 128, 32, False),
    }
    assert bits_of(params) == {"layer1.*": {"bit": 6}, "layer2.*": {"bit": 6}}
    assert options_of(params) == {"optimizer.lr": 0.1, "quant.power": 1, "data.batch_size": 128}
    assert [list(bits_of(point).values()) for point in space.uniform()] == [[{"bit": bit}] * 2 for bit in (2, 4, 6)]


def test_widths_in_unequal_steps_have_no_order():
    trial = Recorder()
    Space(("a",), (2, 3, 8), {}).suggest(trial)
    Space(("b",), (4,), {}).suggest(trial)
    assert trial.asked == {"bit of a": ("one of", 2, 3, 8), "bit of b": ("one of", 4)}


def test_every_value_and_both_ends_are_tried_before():
    options = {"a": Interval(1, 3), "b": ("x", None)}
    assert list(extremes(options)) == [("a", 1), ("a", 3), ("b", "x"), ("b", None)]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"optimizer.lr": 0.1}, "search.space.optimizer.lr=0.1: must be a list of different values"),
        ({"optimizer.lr": []}, "must be a list of different values"),
        ({"quant.power": [1, 1]}, "must be a list of different values"),
        ({"quant.power": [[1]]}, "must be a list of different values"),
        ({"optimizer.lr": {"low": 0.1}}, "search.space.optimizer.lr.high=null: must be a number"),
        ({"optimizer.lr": {"low": 0.1, "high": 0.1}}, "low=0.1 must be less than high=0.1"),
        ({"optimizer.lr": {"low": 0, "high": 0.1, "log": True}}, "low=0 must be above 0"),
        ({"optimizer.lr": {"low": 0.1, "hihg": 1}}, "did you mean high"),
        ({"optimizer.lr": {"low": 0.1, "high": 1, "log": 1}}, "must be true or false"),
        ({"optimizer.lr": {"low": 0.1, "high": 1, "step": 0}}, "must be a number above 0"),
        ({"data.batch_size": {"low": 2, "high": 9, "step": 0.5}}, "must be an integer"),
        ({"optimizer.lr": {"low": True, "high": 2}}, "low=true: must be a number"),
        ({"optimizer.lr": {"low": 0.1, "high": float("inf")}}, "must be a number"),
        ({"data.val_split": [100, 200]}, "search.space.data.val_split: must be the same in all trials"),
        ({"test": [True]}, "search.space.test: must be the same in all trials"),
        ({"paths.output_dir": ["a", "b"]}, "must be the same in all trials"),
        ({"quant.overrides": ["a", "b"]}, "search.bits and search.groups"),
    ],
)
def test_what_is_refused(space, said):
    with pytest.raises(UserError) as error:
        read_options(space)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
