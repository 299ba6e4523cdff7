"""What --help says, against the schemas, the composed configuration and Hydra."""

import re
import shlex
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from apot_lit.config.help import EXAMPLES, WIDTH, help_text
from apot_lit.config.registration import SCHEMAS, plain, register
from apot_lit.config.schemas import SweepConfig
from apot_lit.config.sections import MODEL_SCHEMAS, OPTIMIZER_SCHEMAS, SCHEDULER_SCHEMAS
from tests.conftest import ROOT

# Sections that the schemas leave open: what is chosen for them has its own options.
OPEN = {"model", "optimizer", "scheduler", "callbacks", "logger"}
# Options of the section trainer without an effect on an evaluation.
OF_TRAINING = [
    f"trainer.{name}"
    for name in (
        *("compile", "max_epochs", "max_steps", "gradient_clip_val", "accumulate_grad_batches", "limit_train_batches"),
        *("check_val_every_n_epoch", "detect_anomaly", "limit_val_batches", "log_every_n_steps"),
        "num_sanity_val_steps",
    )
]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setenv("PROJECT_ROOT", str(ROOT))
    register()
    GlobalHydra.instance().clear()


def every_schema():
    """All dataclasses that the scripts' schemas are made of."""
    found, waiting = set(), [*SCHEMAS.values(), *MODEL_SCHEMAS.values(), *OPTIMIZER_SCHEMAS, *SCHEDULER_SCHEMAS]
    while waiting:
        schema = waiting.pop()
        found.add(schema)
        kinds = [kind for hint in get_type_hints(schema).values() for kind in (get_args(hint) or [hint])]
        waiting += [kind for kind in kinds if is_dataclass(kind) and kind not in found]
    return found


def test_every_option_has_a_meaning():
    without = []
    for schema in every_schema():
        hints = get_type_hints(schema)
        for one in fields(schema):
            section = any(is_dataclass(kind) for kind in get_args(hints[one.name]) or [hints[one.name]])
            if not section and one.name not in OPEN and not one.metadata.get("meaning"):
                without.append(f"{schema.__name__}.{one.name}")
    assert not without


@pytest.mark.parametrize("script", SCHEMAS)
def test_a_line_for_every_option_with_the_default_it_is_composed_with(script):
    text = help_text(script)
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    shown = {line.split()[0]: line for line in lines if line.startswith("  ")}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose(script)
    checked = 0
    for key in keys_of(config):
        if key.startswith(("paths.", "callbacks.", "logger.")) or (script == "evaluate" and key in OF_TRAINING):
            assert key not in shown
            continue
        value = OmegaConf.select(config, key, throw_on_missing=False)
        default = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        # Numbers are shown with four digits, lists and long texts cut, places and what is needed not at all.
        needed = OmegaConf.is_missing(config, key) if "." not in key else False
        if not needed and isinstance(value, int | str | None) and len(default) < 12 and "/" not in default:
            assert shown[key].split()[1] == default
            checked += 1
        assert key in shown
    assert checked >= 1


def keys_of(config, prefix=""):
    for key in config:
        child = config._get_node(key)
        if OmegaConf.is_dict(child) and not child._is_none() and not child._is_missing():
            yield from keys_of(child, f"{prefix}{key}.")
        elif prefix or key not in (*OPEN, "model", "sweep"):
            yield f"{prefix}{key}"


@pytest.mark.parametrize(("script", "example"), [(script, one) for script, all_ in EXAMPLES.items() for one in all_])
def test_examples_compose(script, example):
    assert len(EXAMPLES[script]) == 3
    assert f"python {script}.py {example}".rstrip() in help_text(script)
    GlobalHydra.instance().clear()
    words = [word for word in shlex.split(example.replace("<run>", "run")) if word != "-m"]
    options = [word if "{" in word else word.partition(",")[0] for word in words]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose(script, overrides=[*options, "paths.output_dir=/tmp"])
    assert plain(config)


def test_the_options_of_a_sweep_are_shown_before_one_is_chosen():
    shown = {line.split()[0] for line in help_text("train").splitlines() if line.startswith("  sweep.")}
    assert shown == {f"sweep.{one.name}" for one in fields(SweepConfig)}


@pytest.mark.slow
@pytest.mark.parametrize(("script", "groups"), [("train", 11), ("benchmark", 5)])
def test_every_choice_is_whole_and_in_the_order_of_numbers(script, groups):
    block = help_text(script).partition("\nchoices\n")[2].partition("\n\n")[0]
    choices = dict(re.findall(r"^  (\w+)= .*: (.*)$", re.sub(r"\n {6,}", " ", block), re.MULTILINE))
    assert len(choices) == groups
    for group, names in choices.items():
        for name in names.split(", "):
            GlobalHydra.instance().clear()
            with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
                more = ["model.name=x"] if name in ("torchvision", "timm") else []
                more += ["model._target_=x.y"] if name == "custom" else []
                assert plain(compose(script, [f"{group}={name}", *more, "paths.output_dir=/tmp"]))
    assert choices["callbacks"] == "best, default"
    if script == "train":
        ours = "resnet10, resnet14, resnet18, resnet34, resnet50, resnet101, resnet152"
        assert choices["model"] == f"custom, {ours}, timm, torchvision"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_script_shows_it(run_script, flag):
    outcome = run_script("evaluate.py", flag)
    assert outcome.code == 0
    assert outcome.out == help_text("evaluate") + "\n"
